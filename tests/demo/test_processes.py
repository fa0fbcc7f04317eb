"""Starting, watching and stopping the demo's processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from metarec_stream.config import Settings
from metarec_stream.demo.environment import environment_of
from metarec_stream.demo.processes import Subcommand, Subcommands, free_port
from metarec_stream.errors import Fatal
from metarec_stream.kafka.settings import KafkaSettings

# `tail` of brokers that are not there: a subcommand that waits until it is stopped.
NOWHERE = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1", connect_timeout_s=60.0))


@pytest.fixture
def subcommands(tmp_path: Path) -> Iterator[Subcommands]:
    """Stopped at the end of the test."""
    started = Subcommands(tmp_path)
    yield started
    started.stop()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return once it holds; fails after 30 s."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"waited 30 s for {what}"
        time.sleep(0.05)


def runs_metarec(process: psutil.Process) -> bool:
    """Whether it has become the subcommand: until then it puts itself on its leash."""
    return "metarec_stream" in process.cmdline()


def waiting(subcommands: Subcommands) -> Subcommand:
    """A subcommand that runs."""
    subcommand = subcommands.start(["tail"], environment_of(NOWHERE))
    process = psutil.Process(subcommand.child.pid)
    wait_until(lambda: runs_metarec(process), "the subcommand to run")
    return subcommand


def test_stop_ends_what_runs(subcommands: Subcommands) -> None:
    """Afterwards the process is gone; stopping twice does no harm."""
    subcommand = waiting(subcommands)
    subcommands.check(pytest.fail)
    subcommands.stop()
    assert not psutil.pid_exists(subcommand.child.pid)
    subcommands.stop()


def test_the_terminals_ctrl_c_does_not_reach_it(subcommands: Subcommands) -> None:
    """It is in a session of its own, so it is not in the group that the terminal signals."""
    subcommand = waiting(subcommands)
    assert os.getsid(subcommand.child.pid) != os.getsid(0)
    assert os.getpgid(subcommand.child.pid) != os.getpgid(0)


def test_one_that_ends_with_an_error_is_fatal_and_quoted(subcommands: Subcommands) -> None:
    """Its log's end is said, its status and its last line are in the message."""
    subcommand = subcommands.start(["tail", "--no-such-flag"], environment_of(Settings()))
    wait_until(lambda: subcommand.status is not None, "its end")
    said: list[str] = []
    with pytest.raises(Fatal, match=r"`metarec tail` ended with status 2.*no-such-flag"):
        subcommands.check(said.append)
    assert "--no-such-flag" in said[0]


def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """With kill -9 it has no chance to clean up: the kernel does it."""
    if sys.platform != "linux":
        pytest.skip("only Linux kills a child with its parent")
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from metarec_stream.demo.environment import environment_of\n"
        "from metarec_stream.demo.processes import Subcommands\n"
        "from tests.demo.test_processes import NOWHERE\n"
        f"started = Subcommands(Path({str(tmp_path)!r}))\n"
        "print(started.start(['tail'], environment_of(NOWHERE)).child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    wait_until(lambda: runs_metarec(child), "the child to run")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not child.is_running() or child.status() == "zombie", "the child's end")


def test_a_free_port_can_be_bound() -> None:
    """By whoever asked for it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
