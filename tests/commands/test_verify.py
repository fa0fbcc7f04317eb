"""`metarec verify`: its status, its output, and what it refuses; over the in-memory log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from metarec_stream.commands import verify as command
from metarec_stream.commands.verify import CERTIFIED, DEGRADED, DIFFERENT, verify
from metarec_stream.contract.interaction import Interaction
from metarec_stream.errors import Fatal
from metarec_stream.memory.log import MemoryLog
from metarec_stream.settings_sources import BadConfiguration
from tests.verify.service import NOW, SETTINGS, VerifiedLog, rewritten, served


class OpenedLog(VerifiedLog):
    """The in-memory log in the place of Kafka's."""

    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    """The log of a good run, which the command then reads."""
    log = served([Interaction(user="ann", item="lamp", ts=NOW)])
    monkeypatch.setattr(command, "KafkaLog", lambda settings: OpenedLog(log, settings))
    return log


def test_a_good_run(log: MemoryLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 0, the table on standard output, the certificate in the file."""
    path = tmp_path / "certificate.json"
    assert verify(json=path, settings=SETTINGS) == CERTIFIED
    shown = capsys.readouterr().out
    certificate = json.loads(path.read_text())
    digest = certificate["partitions"][0]["digest"]
    assert certificate["verdict"] == "certified"
    assert digest[:8] in shown
    assert all(len(line) <= 120 for line in shown.splitlines())


def test_degraded_has_a_status_of_its_own(log: MemoryLog) -> None:
    """3, and each thing that was not compared is logged."""
    log.drop_before(SETTINGS.topics.interactions, 0, 1)
    with capture_logs() as logs:
        assert verify(settings=SETTINGS) == DEGRADED
    assert [each["event"] for each in logs] == ["verify_is_degraded"]
    assert logs[0]["reason"].startswith("partition 0: retention took the input below offset 1")


def test_a_difference_wins_over_degraded(log: MemoryLog) -> None:
    """Status 1: what could be compared differs."""
    log.drop_before(SETTINGS.topics.interactions, 0, 1)
    rewritten(log, SETTINGS.topics.state, lambda each: [each] if each.key == b"h" else [])
    with capture_logs() as logs:
        assert verify(settings=SETTINGS) == DIFFERENT
    assert [each["event"] for each in logs] == ["verify_found_a_difference"]


def test_a_partition_that_is_not_there(log: MemoryLog) -> None:
    """Misused, before anything is read."""
    with pytest.raises(BadConfiguration, match="has 1 partitions, from 0"):
        verify(partition=(1,), settings=SETTINGS)


def test_a_file_that_cannot_be_written(log: MemoryLog, tmp_path: Path) -> None:
    """The option to change is named."""
    with pytest.raises(Fatal, match="name another file with --json"):
        verify(json=tmp_path / "none" / "certificate.json", settings=SETTINGS)
