"""Users who do not come back: state forgets them at the same place in the log, whatever happens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_stream.contract.codec import encode_interaction
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.transport import Output
from metarec_stream.memory.log import MemoryLog
from metarec_stream.state import row_store
from metarec_stream.state.lifetime import PARTS, Lifetime, lifetime_of
from metarec_stream.state.row import user_key
from tests.pipeline.full_disk import SETTINGS as COLD
from tests.pipeline.full_disk import USERS, FullDisk
from tests.pipeline.process import (
    FAULTS,
    INPUT,
    NOW,
    SETTINGS,
    Crash,
    Fault,
    Process,
    changelog,
    digest_of,
    pure_state,
)

TTL_S = SETTINGS.state.ttl_s or 0
START_MS = lifetime_of(SETTINGS.state).part_ms * 1_000_000  # type: ignore[union-attr]
"""The beginning of a part of time."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FullDisk]:
    """On disk, and closed in the end."""
    made = FullDisk(tmp_path / "users")
    yield made
    made.close()


def clicks(log: MemoryLog, users: Iterable[str], at_s: float) -> None:
    """One event of each at a time in seconds."""
    for user in users:
        ts = START_MS + round(at_s * 1e3)
        value, headers = encode_interaction(Interaction(user=user, item="x", ts=ts))
        log.append(Output(INPUT, 0, user.encode(), value, headers), ts)


def noted(store: FullDisk) -> list[Any]:
    """The keys by which the disk finds users by time."""
    keys: Any = store._rocks.keys()
    return [key for key in keys if key[:1] == b"t"]


def accepted(process: Process, user: str) -> int:
    """Events that the state has of a user in memory, 0 of who is not there."""
    users = process.recommender.users
    row = users.find(0, user)
    return 0 if row is None else int(users.rings.accepted[row])


def taken(log: MemoryLog, process: Process) -> Process:
    """The process has taken and checkpointed all of the log."""
    process.drain()
    process.finish()
    header, rows = changelog(log, SETTINGS, 0)
    assert header is not None
    assert header.digest == digest_of(rows)
    assert header.users == sum(key[:1] == b"u" for key in rows)
    assert process.state(0) == pure_state(log, SETTINGS, 0, header.offset)
    return process


def test_who_does_not_come_back_is_forgotten_and_the_others_stay() -> None:
    """In memory and in the changelog; who comes back in time goes on, afterwards starts anew."""
    log = MemoryLog()
    clicks(log, "abc", 0)
    process = taken(log, Process(log, SETTINGS))
    clicks(log, "a", TTL_S - 1)
    assert accepted(taken(log, process), "c") == 1
    clicks(log, "b", TTL_S + TTL_S / PARTS)
    process = taken(log, process)
    assert [accepted(process, user) for user in "abc"] == [2, 1, 0]
    _, rows = changelog(log, SETTINGS, 0)
    assert {key for key in rows if key[:1] == b"u"} == {b"ua", b"ub"}
    assert process.registry.get_sample_value("metarec_users_expired_total") == 2
    again = Process(log, SETTINGS)
    assert again.state(0) == process.state(0)
    users = process.recommender.users
    assert sorted(users.names[row] for row in users.rows(0).tolist()) == ["a", "b"]
    assert users.names.count("c") == 0


@pytest.mark.parametrize(("late_ms", "stays"), [(0, True), (-1, False)])
def test_a_part_of_time_ends_with_its_last_millisecond(late_ms: int, stays: bool) -> None:
    """Whose newest event is at the limit stays; a millisecond before it, not."""
    log = MemoryLog()
    clicks(log, "a", late_ms / 1e3)
    clicks(log, "b", TTL_S)
    process = taken(log, Process(log, SETTINGS))
    assert accepted(process, "a") == stays


def test_within_one_batch_a_user_starts_anew() -> None:
    """Their own event may move the watermark, and what came before in the batch is forgotten."""
    log = MemoryLog()
    clicks(log, "aab", 0)
    clicks(log, "a", 2 * TTL_S)
    clicks(log, "ac", 2 * TTL_S)
    process = Process(log, SETTINGS)
    assert process.batch() == 6
    process = taken(log, process)
    assert [accepted(process, user) for user in "abc"] == [2, 0, 1]


def test_an_event_earlier_in_the_batch_keeps_its_user() -> None:
    """Its time counts, though it is not in the ring yet when the others are forgotten."""
    log = MemoryLog()
    clicks(log, "ab", 0)
    process = taken(log, Process(log, SETTINGS))
    clicks(log, "a", TTL_S - 2)
    clicks(log, "c", TTL_S + TTL_S / PARTS)
    process = taken(log, process)
    assert [accepted(process, user) for user in "abc"] == [2, 0, 1]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("on_disk", [False, True])
def test_a_batch_that_is_undone_forgets_nobody(
    fault: Fault, on_disk: bool, store: FullDisk
) -> None:
    """And the same ones when it is taken again; one was erased and one returned meanwhile."""
    log = MemoryLog()
    chosen = COLD if on_disk else SETTINGS
    disk = store if on_disk else None
    clicks(log, USERS, 0)
    process = taken(log, Process(log, chosen, disk))
    clicks(log, "h", 2 * TTL_S)
    clicks(log, "a", 2 * TTL_S)
    value, headers = encode_interaction(Interaction(user="b", type="erase"))
    log.append(Output(INPUT, 0, b"b", value, headers), NOW)
    clicks(log, "b", 2 * TTL_S)
    before = process.state(0)
    try:
        process.batch(fault, 5.0)
    except Crash:
        process = Process(log, chosen, disk)
    if log.committed("metarec", INPUT, 0) == len(USERS):
        assert process.state(0) == before
    process = taken(log, process)
    _, rows = changelog(log, SETTINGS, 0)
    assert {key for key in rows if key[:1] == b"u"} == {b"ua", b"ub", b"uh"}


def test_users_on_disk_alone_are_forgotten_there(store: FullDisk) -> None:
    """Without coming into memory; who had a newer event since is not, whatever was noted first."""
    log = MemoryLog()
    clicks(log, USERS, 0)
    process = taken(log, Process(log, COLD, store))
    clicks(log, "ab", TTL_S - 1)
    clicks(log, "cd", TTL_S - 1)
    process = taken(log, process)
    loaded = process.registry.get_sample_value("metarec_cold_users_loaded_total")
    assert len(process.recommender.users) < 4
    clicks(log, "z", TTL_S + TTL_S / PARTS)
    process = taken(log, process)
    assert process.registry.get_sample_value("metarec_cold_users_loaded_total") == loaded
    rows = {row.key for part in store.scan(0) for row in part if row.key[:1] == b"u"}
    assert rows == {b"ua", b"ub", b"uc", b"ud", b"uz"}
    limit = START_MS + 10 * round(TTL_S * 1e3)
    assert {row.key for part in store.expired(0, limit) for row in part} == rows
    assert process.recommender.hard.count(0) == 5


def test_users_who_are_noted_twice_are_forgotten_once(
    store: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They had events in two parts of time, and more of them stand in one than a slice holds."""
    monkeypatch.setattr(row_store, "SLICE", 3)
    log = MemoryLog()
    clicks(log, USERS, 0)
    process = taken(log, Process(log, COLD, store))
    clicks(log, USERS, TTL_S / 2)
    process = taken(log, process)
    clicks(log, "z", 3 * TTL_S)
    process = taken(log, process)
    assert process.recommender.hard.count(0) == 1
    assert process.registry.get_sample_value("metarec_users_expired_total") == len(USERS)


def test_a_user_who_expired_and_is_erased_leaves_no_bytes_on_disk(store: FullDisk) -> None:
    """Expired rows need not be overwritten there; erased ones have to be."""
    log = MemoryLog()
    name = "eve@example.org"
    clicks(log, [name, *USERS], 0)
    process = taken(log, Process(log, COLD, store))
    assert user_key(name) in process.on_disk(0)
    store._rocks.flush()
    assert any(name.encode() in file.read_bytes() for file in store.folder.iterdir())
    clicks(log, "z", 2 * TTL_S)
    value, headers = encode_interaction(Interaction(user=name, type="erase"))
    log.append(Output(INPUT, 0, name.encode(), value, headers), NOW)
    taken(log, process)
    for file in store.folder.iterdir():
        assert name.encode() not in file.read_bytes(), file.name


def test_what_is_noted_by_time_goes_with_the_users_and_not_before(store: FullDisk) -> None:
    """A checkpoint is written between a batch that was refused and the same events one by one."""
    log = MemoryLog()
    clicks(log, USERS, 0)
    process = taken(log, Process(log, COLD, store))
    clicks(log, "y", 1)
    clicks(log, "z", 2 * TTL_S)
    assert [process.batch("refuse", 5.0) for _ in range(2)] == [0, 0]
    assert process.batch(None, 5.0) == 1
    process = taken(log, process)
    assert process.recommender.hard.count(0) == 1
    assert len(noted(store)) == 1


def test_a_disk_of_another_lifetime_is_read_anew(store: FullDisk) -> None:
    """What it notes by time is of parts of another length."""
    log = MemoryLog()
    clicks(log, USERS, 0)
    process = taken(log, Process(log, COLD, store))
    assert store.mark(0) is not None
    store._lifetime = Lifetime(1)
    assert store.mark(0) is None
    store._lifetime = lifetime_of(COLD.state)
    clicks(log, "z", 2 * TTL_S)
    assert accepted(taken(log, process), "a") == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 40)), min_size=2, max_size=30),
    st.integers(1, 8),
)
def test_how_records_fall_into_batches_changes_nothing(
    steps: list[tuple[str, int]], batch: int
) -> None:
    """Users come and go, seconds pass between their events."""
    log, now_s = MemoryLog(), 0
    for user, seconds in steps:
        now_s += seconds
        clicks(log, user, now_s)
    process = Process(log, SETTINGS)
    for start in range(0, len(steps), batch):
        process.recommender.process(process.log.read(INPUT, 0, start, batch))
    assert process.state(0) == pure_state(log, SETTINGS, 0, len(steps))
