"""`metarec serve`, killed where it hurts, against a real broker: nothing lost, nothing twice."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import pytest

from metarec_stream.config import Settings
from metarec_stream.contract.recommendation import recommendation_id
from metarec_stream.contract.transport import Record
from metarec_stream.memory.log import MemoryLog
from metarec_stream.state.digest import Digest
from metarec_stream.state.header import HEADER_KEY, Header, decode_header
from tests.pipeline.process import digest_of, pure_state
from tests.service.test_serve import Serve, committed, lists, post
from tests.transport.backends import read_committed, wait_until

QUICK = {"EMIT": "per_event", "STATE__CHECKPOINT_EVERY_S": "0.2", "BATCH__MAX_RECORDS": "20"}


def changelog(settings: Settings, partition: int) -> tuple[Header, bytes]:
    """The header, and the digest of the rows, that the state topic holds."""
    rows: dict[bytes, bytes] = {}
    for record in read_committed(settings, settings.topics.state):
        if record.partition == partition and record.key is not None:
            rows.pop(record.key, None)
            if record.value:
                rows[record.key] = record.value
    header = decode_header(rows.pop(HEADER_KEY), "test")
    return header, Digest.of(rows.items()).to_bytes()


def log_of(settings: Settings) -> MemoryLog:
    """The input, as a process of the test's own reads it."""
    log = MemoryLog(settings.topics.partitions)
    records: list[Record] = read_committed(settings, settings.topics.interactions)
    for each in records:
        partition = log._partition(settings.topics.interactions, each.partition)
        partition.records.append(each)  # type: ignore[arg-type]
    return log


def assert_exactly_once(settings: Settings, events: int) -> None:
    """Each event answered once, and the state what the log makes of it."""
    answers = lists(settings)
    assert len({answer.rec_id for answer in answers}) == len(answers) == events
    log = log_of(settings)
    for partition in range(settings.topics.partitions):
        header, digest = changelog(settings, partition)
        expected = pure_state(log, Settings(topics=settings.topics), partition, header.offset)
        assert header.digest == digest == digest_of(expected)
        assert header.offset == log.end(settings.topics.interactions, partition)


def some(count: int, first: int = 0) -> list[tuple[str, str, str]]:
    """Events of a few users, each with an id of its own."""
    return [(f"u{n % 9}", f"i{n % 7}", f"e{n}") for n in range(first, first + count)]


@pytest.mark.timeout(300)
def test_killed_in_a_batch_a_checkpoint_and_a_restore_nothing_is_lost_or_learned_twice(
    settings: Settings, started: list[Serve]
) -> None:
    """One process after the other is killed at another point; the last one finishes and leaves."""
    points = (
        "after-send:7",
        "in-checkpoint:2",
        "after-send-offsets:3",
        "in-restore",
        "after-commit",
    )
    posted = 0
    for point in points:
        serve = Serve(settings, CRASH_AT=point, **QUICK)
        started.append(serve)
        wait_until(partial(serve.said, "serving"), 90)
        post(settings, *some(60, posted))
        posted += 60
        assert serve.process.wait(timeout=60) == -signal.SIGKILL, point
    serve = Serve(settings, **QUICK)
    started.append(serve)
    wait_until(lambda: committed(settings) == posted, 90)
    assert serve.end() == 0
    assert_exactly_once(settings, posted)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("most_in_memory", [None, 2])
def test_at_least_once_answers_all_and_learns_once(
    settings: Settings, started: list[Serve], most_in_memory: int | None, tmp_path: Path
) -> None:
    """Killed between what it sent and the commit of its offsets: answers may come twice, but none
    is missing, and the state is what the log makes of it.
    """
    weaker = {**QUICK, "KAFKA__GUARANTEE": "at-least-once"}
    if most_in_memory is not None:
        cold = {"STATE__MAX_HOT_USERS": str(most_in_memory), "STATE__FOLDER": str(tmp_path)}
        weaker = {**weaker, **cold}
    first = Serve(settings, CRASH_AT="before-commit:4", **weaker)
    started.append(first)
    wait_until(lambda: first.said("serving") is not None, 90)
    post(settings, *some(80))
    assert first.process.wait(timeout=60) == -signal.SIGKILL
    again = Serve(settings, **weaker)
    started.append(again)
    wait_until(lambda: committed(settings) == 80, 90)
    assert again.end() == 0
    assert {answer.rec_id for answer in lists(settings)} == {
        recommendation_id(each.topic, each.partition, each.offset)
        for each in read_committed(settings, settings.topics.interactions)
    }
    log = log_of(settings)
    for partition in range(settings.topics.partitions):
        header, digest = changelog(settings, partition)
        expected = pure_state(log, Settings(topics=settings.topics), partition, header.offset)
        assert header.digest == digest == digest_of(expected)


def owned(serve: Serve) -> list[int]:
    """The partitions that a process has as far as it knows."""
    held: set[int] = set()
    for line in [line for line in serve.logged if line["event"] == "partitions"]:
        change = held.update if line["change"] == "assigned" else held.difference_update
        change(line["partitions"])
    return sorted(held)


@pytest.mark.timeout(300)
def test_a_rolling_restart_of_members_with_names_moves_no_partition(
    settings: Settings, started: list[Serve]
) -> None:
    """Static membership: each of three comes back to its own partition, under load, and the others
    never hear that it was away.
    """
    topics = settings.topics.model_copy(update={"partitions": 3})
    settings = settings.model_copy(update={"topics": topics})
    calm = {**QUICK, "KAFKA__SESSION_TIMEOUT_MS": "60000"}
    members = {name: Serve(settings, INSTANCE_ID=name, **calm) for name in ("one", "two", "three")}
    started.extend(members.values())
    wait_until(lambda: all(len(owned(each)) == 1 for each in members.values()), 120)
    for number, (name, member) in enumerate(list(members.items())):
        before = owned(member)
        others = {each: len(members[each].logged) for each in members if each != name}
        post(settings, *some(30, 30 * number))
        assert member.end() == 0
        members[name] = Serve(settings, INSTANCE_ID=name, **calm)
        started.append(members[name])
        wait_until(lambda name=name, before=before: owned(members[name]) == before, 90)  # type: ignore[misc]
        heard = [line for each, from_ in others.items() for line in members[each].logged[from_:]]
        assert [line for line in heard if line["event"] == "partitions"] == []
    wait_until(lambda: committed(settings) == 90, 60)
    for each in members.values():
        assert each.end() == 0
    assert_exactly_once(settings, 90)
