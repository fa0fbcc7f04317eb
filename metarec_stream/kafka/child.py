"""A child process that cannot outlive this one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

# Runs in the child before the command replaces it: PR_SET_PDEATHSIG (1) with SIGKILL (9), unless
# the parent is gone already. A preexec_fn could deadlock, for this process has threads.
_LEASH = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent process has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Child:
    """A running process, in a session of its own: the terminal's Ctrl-C does not reach it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def wait(self, timeout_s: float) -> int | None:
        """Its exit status, or None if it still runs after timeout_s."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def end(self, patience_s: float) -> None:
        """Ask it to end, and kill it if it has not after patience_s; 0 kills it at once."""
        if patience_s > 0:
            self._process.terminate()
            if self.wait(patience_s) is not None:
                return
        self._process.kill()
        self._process.wait()


def start_child(
    command: Sequence[str],
    folder: Path,
    log_file: Path,
    environment: Mapping[str, str] | None = None,
) -> Child:
    """Start a command in a folder, its output added to a file; with our environment if none given.

    The kernel kills the child when the thread that started it ends, so that a thread of its own
    starts it and waits with it: the child lives as long as this process at most, however that
    dies. Raises OSError if the command cannot be started.
    """
    started: Future[Child] = Future()

    def keep() -> None:
        try:
            with log_file.open("ab") as log:
                process = _open(command, folder, log.fileno(), environment)
        except OSError as error:
            started.set_exception(error)
            return
        started.set_result(Child(process))
        process.wait()

    threading.Thread(target=keep, name="child", daemon=True).start()
    return started.result()


def _open(
    command: Sequence[str], folder: Path, output: int, environment: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*_leash(), *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _leash() -> tuple[str, ...]:
    """What the command is started through; only Linux kills a child with its parent."""
    if sys.platform != "linux":
        return ()
    return (sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()))
