"""`metarec broker`, as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from metarec_stream.config import Settings
from metarec_stream.kafka.topics import partition_counts


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(port: int, temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """`metarec broker` on the port, its temporary files in the folder; killed if it stays."""
    command = [sys.executable, "-m", "metarec_stream", "broker", "--port", str(port)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("stopping", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_it_is_told_to_stop(tmp_path: Path, stopping: signal.Signals) -> None:
    """It says where it listens with the topics there, and stops with status 0 and nothing left."""
    port = free_port()
    with running(port, tmp_path) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(4)]
        assert f"127.0.0.1:{port}" in said[0]
        assert str(process.pid) in said[3]
        topics = Settings().topics
        with KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}") as admin:
            counts = partition_counts(admin, [topics.interactions, topics.meta])
        assert counts == {topics.interactions: 4, topics.meta: 1}
        process.send_signal(stopping)
        assert process.wait(20) == 0
    assert list(tmp_path.iterdir()) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_in_use_ends_it(tmp_path: Path) -> None:
    """Status 1 and one line that names the port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with running(port, tmp_path) as process:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 1
    assert f"Port {port}" in errors
    assert "Traceback" not in errors
