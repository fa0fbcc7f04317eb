"""What is read from a process's log, and what a stranger writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from metarec_stream.chaos.fleet import Fleet, Member
from metarec_stream.chaos.foreign_writes import version_records
from metarec_stream.config import Settings
from metarec_stream.contract.meta_version_codec import VersionAssembler
from metarec_stream.crash_points import VARIABLE
from metarec_stream.errors import Degraded, Fatal
from metarec_stream.kafka.child import start_child
from tests.transport.backends import wait_until


def log_of(path: Path, *lines: dict[str, Any]) -> Path:
    """A log with these entries, a foreign line and one that is half written."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_text(f'a library speaks\n{text}{{"event": "parti', "utf-8")
    return path


def partitions(change: str, *numbers: int) -> dict[str, Any]:
    """The entry of a rebalance."""
    return {"event": "partitions", "change": change, "partitions": [*numbers]}


def test_a_member_has_what_it_was_assigned_and_did_not_give_up(tmp_path: Path) -> None:
    """Revoked and lost ones are gone; lines that are not entries are passed over."""
    log = log_of(
        tmp_path / "consumer-1.1.log",
        partitions("assigned", 0, 1, 2),
        partitions("revoked", 1),
        partitions("lost", 2),
        partitions("assigned", 3),
    )
    child = start_child([sys.executable, "-c", ""], tmp_path, tmp_path / "out")
    assert Member("consumer-1", child, log).owned() == {0, 3}
    assert Member("consumer-1", child, log).waits_for() == "it does not serve HTTP yet"
    assert child.wait(30.0) == 0


def test_what_consumers_say_of_damage_is_counted_over_all_of_them(tmp_path: Path) -> None:
    """And nothing else of their logs."""
    damaged = {"event": "state_rebuilt"}
    log_of(tmp_path / "consumer-1.1.log", damaged, {"event": "serving"})
    log_of(tmp_path / "consumer-1.2.log", damaged, {"event": "partition_degraded"})
    assert Fleet(Settings(), tmp_path).warned() == {"partition_degraded": 1, "state_rebuilt": 2}


def test_partitions_that_come_and_go_are_counted(tmp_path: Path) -> None:
    """Over all consumers: what has been counted since tells which have moved."""
    log_of(tmp_path / "consumer-1.1.log", partitions("assigned", 0, 1))
    before = Fleet(Settings(), tmp_path).moves()
    log_of(tmp_path / "consumer-2.1.log", partitions("assigned", 1))
    assert set(Fleet(Settings(), tmp_path).moves() - before) == {1}


def test_each_process_has_its_own_name_in_its_environment(tmp_path: Path) -> None:
    """So a fault can make all of them static members; the settings reach them, too."""
    with Fleet(Settings(), tmp_path, {"METAREC_INSTANCE_ID": "{name}"}) as fleet:
        fleet.start("consumer-1", "after-poll:3")
        child = psutil.Process(fleet.member("consumer-1").child.pid)
        # Between fork and exec it still has ours.
        wait_until(lambda: "METAREC_INSTANCE_ID" in child.environ())
        environment = child.environ()
    assert environment["METAREC_INSTANCE_ID"] == "consumer-1"
    assert environment[VARIABLE] == "after-poll:3"


def test_a_process_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A run without a learner cannot kill it."""
    with pytest.raises(Fatal, match="there is no learner"):
        Fleet(Settings(), tmp_path).member("learner")


def test_the_published_version_is_whole_and_without_a_chunk_it_is_refused() -> None:
    """Else a consumer would not die in taking it up, or take a half one."""
    records = version_records(Settings(), 5)
    whole = VersionAssembler()
    made = [whole.feed(key, value) for key, value in records]
    assert made[-1] is not None
    assert made[-1].version == 5
    assert made[:-1] == [None] * (len(records) - 1)
    with pytest.raises(Degraded):
        VersionAssembler().feed(*records[-1])
