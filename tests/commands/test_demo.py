"""The demo as a program: what it shows, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

COMMAND = [sys.executable, "-m", "metarec_stream", "demo"]
SMALL = ["--events", "3000", "--seconds", "12"]


class RunningDemo:
    """A demo with a temporary folder of its own, whose processes are known as they come."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder = folder
        own = {name: text for name, text in os.environ.items() if not name.startswith("METAREC_")}
        self.output = (folder.parent / f"{folder.name}.txt").open("w+")
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            env={**own, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", **environment},
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._seen: dict[int, psutil.Process] = {}
        self._ports: set[int] = set()

    def wait(self, limit_s: float, until: str | None = None) -> int | None:
        """Its exit status, or None once its output has this text; fails after the limit."""
        deadline = time.monotonic() + limit_s
        while (status := self.process.poll()) is None:
            assert time.monotonic() < deadline, f"not within {limit_s} s:\n{self.text()}"
            self.look()
            if until is not None and until in self.text():
                return None
            time.sleep(0.05)
        return status

    def text(self) -> str:
        """What it has said so far."""
        return Path(self.output.name).read_text()

    def left(self) -> list[str]:
        """What it has left behind: processes, ports that are listened on, files."""
        running = [process for process in self._seen.values() if _alive(process)]
        return [
            *(f"process {process.pid}" for process in running),
            *(f"port {port}" for port in sorted(self._ports) if _listened(port)),
            *(f"file {path}" for path in self.folder.iterdir()),
        ]

    def end(self) -> None:
        """Kill whatever is left, so that a failing test leaves nothing either."""
        self.look()
        self.process.kill()
        self.process.wait()
        for process in self._seen.values():
            if _alive(process):
                process.kill()
        self.output.close()

    def look(self) -> None:
        """Note the processes and ports that it has just now."""
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return
        for child in children:
            self._seen.setdefault(child.pid, child)
            try:
                connections = child.net_connections("inet")
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            self._ports |= {
                each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN
            }


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _listened(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for the demo's temporary files."""
    made = tmp_path / "temporary"
    made.mkdir()
    return made


@pytest.mark.timeout(400)
def test_a_small_demo_shows_its_figures_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    """With its own broker: every event accepted, versions published, the model far ahead."""
    file = tmp_path / "demo.json"
    demo = RunningDemo(folder, "--events", "6000", "--seconds", "24", "--json", str(file))
    try:
        assert demo.wait(300) == 0, demo.text()
        assert demo.left() == []
    finally:
        demo.end()
    figures = json.loads(file.read_text())
    assert figures["events"] == 6_000
    assert 18.0 < figures["seconds"] < 90.0
    assert figures["events_per_second"] == pytest.approx(6_000 / figures["seconds"], rel=0.01)
    assert 0.0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"]
    assert figures["latency_ms"]["p99_settled"] > 0.0
    versions = figures["meta_versions"]
    assert versions
    assert versions == sorted(set(versions))
    assert figures["model"]["hr@10"] >= 2 * figures["popularity"]["hr@10"] > 0.0
    assert figures["model"]["mrr"] > figures["popularity"]["mrr"]
    said = demo.text()
    assert "of 6,000 events, " in said
    assert "for customer" in said
    assert "popularity's" in said.splitlines()[-2]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--events", "0"], "--events"),
        (["--events", "many"], "--events"),
        (["--seconds", "0"], "--seconds"),
        (["--json", "no/such/folder/demo.json"], "no/such/folder"),
    ],
)
def test_bad_flags_end_it_before_anything_starts(folder: Path, flags: list[str], said: str) -> None:
    """Status 2, the flag named, not after the run but before it."""
    demo = RunningDemo(folder, *flags)
    try:
        assert demo.wait(30) == 2
        assert said in demo.text()
        assert "Traceback" not in demo.text()
    finally:
        demo.end()


MOMENTS = {
    "while Python starts": None,
    "while Kafka starts": "starting Apache Kafka",
    "while the others start": "starting the learner",
    "while it posts": "of 3,000 events",
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_leaves_nothing(folder: Path, moment: str) -> None:
    """At a moment of each of its stretches, and again while it cleans up."""
    random_delay = random.Random(moment)
    demo = RunningDemo(folder, *SMALL)
    try:
        if text := MOMENTS[moment]:
            assert demo.wait(200, until=text) is None, demo.text()
        time.sleep(random_delay.uniform(0.3, 1.5))
        demo.look()
        os.killpg(demo.process.pid, signal.SIGINT)
        time.sleep(random_delay.uniform(0.0, 0.5))
        if demo.process.poll() is None:
            os.killpg(demo.process.pid, signal.SIGINT)
        status = demo.wait(60)
        assert demo.left() == [], demo.text()
        assert "Traceback" not in demo.text() or text is None
        assert status in {130, -signal.SIGINT}
    finally:
        demo.end()


@pytest.mark.timeout(400)
def test_on_other_brokers_it_has_topics_of_its_own_and_deletes_them(
    folder: Path, broker: object
) -> None:
    """Where the servers are given, none is started, and `--keep` tells how to take part."""
    servers = str(broker.bootstrap_servers)  # type: ignore[attr-defined]
    demo = RunningDemo(
        folder, *SMALL, "--keep", METAREC_KAFKA__BOOTSTRAP_SERVERS=servers, METAREC_EMIT="per_event"
    )
    try:
        assert demo.wait(300, until="Everything stays up") is None, demo.text()
        assert "starting Apache Kafka" not in demo.text()
        assert f"kcat -P -b {servers} -t demo-" in demo.text()
        assert any(topic.startswith("demo-") for topic in _topics(servers))
        os.killpg(demo.process.pid, signal.SIGINT)
        assert demo.wait(60) == 0, demo.text()
        assert demo.left() == []
        assert not [topic for topic in _topics(servers) if topic.startswith("demo-")]
    finally:
        demo.end()


def _topics(servers: str) -> list[str]:
    from kafka import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        return list(admin.list_topics())
    finally:
        admin.close()
