"""Users beyond what fits in memory: state is that of a process which keeps all of them there."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from metarec_stream.contract.interaction import Interaction
from metarec_stream.errors import Fatal
from metarec_stream.memory.log import MemoryLog
from metarec_stream.pipeline.cold_users import most_in_memory
from metarec_stream.state.lifetime import lifetime_of
from metarec_stream.state.row import user_key
from metarec_stream.state.row_store import Change, Mark, RowStore
from metarec_stream.state.settings import StateSettings
from tests.pipeline.full_disk import MOST, SETTINGS, USERS, FullDisk
from tests.pipeline.process import (
    FAULTS,
    INPUT,
    NOW,
    Crash,
    Process,
    changelog,
    digest_of,
    pure_state,
)
from tests.pipeline.process import SETTINGS as UNBOUNDED
from tests.pipeline.test_exactly_once import post


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FullDisk]:
    """On disk, and closed in the end."""
    made = FullDisk(tmp_path / "users")
    yield made
    made.close()


def clicks(log: MemoryLog, users: str, item: str = "x") -> None:
    """One event of each."""
    for user in users:
        post(log, 0, Interaction(user=user, item=item, ts=NOW))


def checkpoint(process: Process) -> None:
    """Of all partitions, now."""
    process.finish()


def served(log: MemoryLog, store: RowStore, users: str = USERS) -> Process:
    """All of these have an event, and a checkpoint holds it."""
    process = Process(log, SETTINGS, store)
    clicks(log, users)
    process.batch(None, 5.0)
    checkpoint(process)
    return process


def sample(process: Process, name: str) -> float:
    """The exported value."""
    process.recommender.export()
    return process.registry.get_sample_value(name) or 0


def test_who_was_unseen_for_longest_leaves_memory(store: FullDisk) -> None:
    """Those of the newest batch stay; counts, loads and evictions are exported."""
    log = MemoryLog()
    process = served(log, store, "abcd")
    clicks(log, "ab")
    process.batch(None, 5.0)
    checkpoint(process)
    users = process.recommender.users
    assert sorted(users.names[row] for row in users.rows(0).tolist()) == ["a", "b"]
    assert (sample(process, "metarec_users"), sample(process, "metarec_users_cold")) == (2, 2)
    assert sample(process, "metarec_cold_users_evicted_total") == 4
    assert sample(process, "metarec_cold_users_loaded_total") == 2
    assert sample(process, "metarec_store_bytes") > 0
    assert set(users.names) == {"a", "b", ""}


def test_no_more_than_fit_are_touched_before_a_checkpoint_is_made(store: FullDisk) -> None:
    """Before its time: rows that the changelog does not hold cannot leave memory."""
    log = MemoryLog()
    process = Process(log, SETTINGS, store)
    clicks(log, USERS)
    process.batch()
    assert len(process.recommender.users) == len(USERS)
    assert changelog(log, SETTINGS, 0)[0] is None
    process.batch()
    assert changelog(log, SETTINGS, 0)[0] is not None
    assert len(process.recommender.users) == MOST


def test_users_touched_since_the_checkpoint_stay_in_memory(store: FullDisk) -> None:
    """The disk holds of them what was before."""
    log = MemoryLog()
    process = served(log, store, "abcd")
    clicks(log, "abcd", "y")
    process.batch()
    users = process.recommender.users
    assert len(users) == 4
    assert users.marks.stored[users.rows(0)].all()
    assert process.state(0) == pure_state(log, UNBOUNDED, 0, 8)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_long_stream_makes_the_state_of_a_process_with_room_for_all(
    store: FullDisk, seed: int
) -> None:
    """Many more users than fit, with erasures, faults, full disks and restarts in between."""
    draw = random.Random(seed)
    log, names = MemoryLog(), [f"user {number}" for number in range(30)]
    process = Process(log, SETTINGS, store)
    for number in range(60):
        for _ in range(draw.randint(1, 8)):
            kind = "erase" if draw.random() < 0.05 else "click"
            user, item = draw.choice(names), draw.choice("xyz")
            post(log, 0, Interaction(user=user, item=item, type=kind, ts=NOW - draw.randint(0, 99)))
        store.full = draw.random() < 0.1
        fault = draw.choice(FAULTS) if draw.random() < 0.3 else None
        try:
            process.batch(fault, draw.choice([0.01, 0.01, 2.0]))
        except Crash:
            process = Process(log, SETTINGS, store)
        if draw.random() < 0.05:
            process = Process(log, SETTINGS, store)
        committed = log.committed("metarec", INPUT, 0) or 0
        if number % 6 == 5:
            assert process.state(0) == pure_state(log, UNBOUNDED, 0, committed)
    store.full = False
    process.drain()
    checkpoint(process)
    header, rows = changelog(log, SETTINGS, 0)
    assert header is not None
    assert header.digest == digest_of(rows) == digest_of(process.state(0))
    assert header.users == sum(key[:1] == b"u" for key in rows)
    assert process.state(0) == pure_state(log, UNBOUNDED, 0, header.offset)
    assert sample(process, "metarec_cold_users_loaded_total") > 0


@pytest.mark.parametrize(
    ("most_users", "most_bytes", "most"),
    [(None, None, None), (7, None, 7), (None, 10 << 20, 1_048), (2_000, 10 << 20, 1_048),
     (3, 10 << 20, 3)],
)  # fmt: skip
def test_the_smaller_bound_holds(
    most_users: int | None, most_bytes: int | None, most: int | None
) -> None:
    """In users, or in bytes of ten thousand each."""
    settings = StateSettings(max_hot_users=most_users, max_hot_bytes=most_bytes)
    assert most_in_memory(settings, 10_000) == most
    assert settings.bounded == (most is not None)


def test_a_disk_that_is_deleted_meanwhile_costs_a_restart_at_most(tmp_path: Path) -> None:
    """What RocksDB has open stays readable; once it needs a new file, the process ends and says so,
    and the next one reads the changelog.
    """
    log, folder = MemoryLog(), tmp_path / "users"
    store = RowStore(folder, lifetime_of(SETTINGS.state))
    process = served(log, store)
    shutil.rmtree(folder)
    clicks(log, USERS, "y")
    process.batch(None, 5.0)
    assert process.state(0) == pure_state(log, UNBOUNDED, 0, 2 * len(USERS))
    with contextlib.suppress(Exception):  # the library raises nothing narrower
        store._rocks.flush()

    def two_batches() -> None:
        """The first cannot write the disk, the second finds it made anew."""
        for _ in range(2):
            clicks(log, USERS, "z")
            process.batch(None, 5.0)

    with pytest.raises(Fatal, match="not what was written"):
        two_batches()
    store.close()
    anew = RowStore(folder, lifetime_of(SETTINGS.state))
    again = Process(log, SETTINGS, anew)
    again.drain()
    checkpoint(again)
    header, rows = changelog(log, SETTINGS, 0)
    assert header is not None
    assert header.digest == digest_of(rows) == digest_of(again.state(0))
    assert again.state(0) == pure_state(log, UNBOUNDED, 0, header.offset)
    anew.close()


def test_a_restart_reads_the_tail_of_the_changelog_alone(store: FullDisk) -> None:
    """The last header once more, and what another process wrote since."""
    log = MemoryLog()
    served(log, store)
    again = Process(log, SETTINGS, store)
    assert (again.rows_read, again.records_read) == (0, 1)
    other = Process(log, UNBOUNDED)
    clicks(log, "ab", "y")
    other.drain()
    other.finish()
    later = Process(log, SETTINGS, store)
    assert (later.rows_read, later.records_read) == (2, 4)
    assert later.state(0) == pure_state(log, UNBOUNDED, 0, len(USERS) + 2)


@pytest.mark.parametrize("damage", ["row altered", "row lost", "mark altered", "newer mark"])
def test_a_disk_that_is_not_as_it_was_written_is_not_believed(store: FullDisk, damage: str) -> None:
    """All of the changelog is read, and the state is right."""
    log = MemoryLog()
    served(log, store)
    mark = store.mark(0)
    assert mark is not None
    row = store.get([(0, user_key("a"))])[0]
    assert row is not None
    if damage == "row altered":
        store.write(0, [Change(row.key, row.value.replace(b"x", b"y"), row.hash)], mark)
    elif damage == "row lost":
        store.write(0, [Change(row.key, None)], mark)
    elif damage == "mark altered":
        store.write(0, [], Mark(mark.version, mark.offset, mark.users, bytes(16)))
    else:
        store.write(0, [], Mark(mark.version + 1, mark.offset, mark.users, mark.digest))
    again = Process(log, SETTINGS, store)
    assert again.rows_read == len(USERS)
    assert again.state(0) == pure_state(log, UNBOUNDED, 0, len(USERS))


def test_the_disk_of_a_changelog_made_anew_is_not_believed(store: FullDisk) -> None:
    """The topic was deleted: what is restored is rebuilt from the input, and written again."""
    log = MemoryLog()
    served(log, store)
    for partition in log._topics[SETTINGS.topics.state]:
        partition.records.clear()
    again = Process(log, SETTINGS, store)
    assert again.state(0) == pure_state(log, UNBOUNDED, 0, len(USERS))
    again.finish()
    header, rows = changelog(log, SETTINGS, 0)
    assert header is not None
    assert header.digest == digest_of(rows)


def test_a_row_that_cannot_be_read_ends_the_process_and_the_next_reads_the_changelog(
    store: FullDisk,
) -> None:
    """Never a state that is wrong: the partition's rows on disk are deleted."""
    log = MemoryLog()
    process = served(log, store)
    cold = next(iter(process.on_disk(0)))
    row, mark = store.get([(0, cold)])[0], store.mark(0)
    assert row is not None
    assert mark is not None
    store.write(0, [Change(row.key, row.value.replace(b"x", b"y"), row.hash)], mark)
    clicks(log, cold[1:].decode())
    with pytest.raises(Fatal, match="users on disk could not be read"):
        process.batch()
    assert store.mark(0) is None
    again = Process(log, SETTINGS, store)
    again.drain()
    assert again.rows_read == len(USERS)
    assert again.state(0) == pure_state(log, UNBOUNDED, 0, len(USERS) + 1)


def test_a_full_disk_keeps_users_in_memory_until_there_is_room(store: FullDisk) -> None:
    """Nobody is lost, the metric says so, and afterwards the disk holds all again."""
    log = MemoryLog()
    process = served(log, store, "abcdef")
    store.full = True
    clicks(log, USERS, "y")
    process.batch(None, 5.0)
    checkpoint(process)
    assert len(process.recommender.users) == len(USERS)
    assert process.registry.get_sample_value("metarec_degraded", {"what": "cold-users"}) == 1
    clicks(log, "a", "z")
    store.full = False
    process.batch(None, 5.0)
    checkpoint(process)
    assert process.registry.get_sample_value("metarec_degraded", {"what": "cold-users"}) == 0
    assert len(process.recommender.users) == MOST
    assert process.state(0) == pure_state(log, UNBOUNDED, 0, 15)
    assert Process(log, SETTINGS, store).rows_read == 0


def test_a_disk_that_lost_what_was_written_ends_the_process(
    store: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened again after a failed write it is older than the users who are there alone."""
    log = MemoryLog()
    process = served(log, store)
    mark = store.mark(0)
    assert mark is not None
    older = Mark(mark.version, mark.offset - 1, mark.users, mark.digest)
    monkeypatch.setattr(store, "reopen", lambda: store.write(0, [], older))
    store.full = True
    clicks(log, "ab")
    process.batch()
    checkpoint(process)
    store.full = False
    clicks(log, "ab")
    process.batch()
    with pytest.raises(Fatal, match="not what was written"):
        checkpoint(process)


def test_a_full_disk_at_a_start_keeps_everyone_in_memory(store: FullDisk) -> None:
    """The changelog is read into memory instead."""
    log = MemoryLog()
    other = Process(log, UNBOUNDED)
    clicks(log, USERS)
    other.drain()
    other.finish()
    store.full = True
    process = Process(log, SETTINGS, store)
    assert len(process.recommender.users) == len(USERS)
    assert process.state(0) == pure_state(log, UNBOUNDED, 0, len(USERS))


def test_what_a_full_disk_held_before_the_start_is_not_used_later(store: FullDisk) -> None:
    """Another process has erased a user since, and the disk could not be told."""
    log = MemoryLog()
    served(log, store)
    other = Process(log, UNBOUNDED)
    post(log, 0, Interaction(user="a", type="erase"))
    other.drain()
    checkpoint(other)
    store.full = True
    process = Process(log, SETTINGS, store)
    assert len(process.recommender.users) == len(USERS) - 1
    store.full = False
    clicks(log, "b", "y")
    process.batch()
    checkpoint(process)
    assert len(process.recommender.users) == MOST
    clicks(log, "a", "z")
    process.batch()
    assert process.state(0) == pure_state(log, UNBOUNDED, 0, len(USERS) + 3)


def test_an_erased_user_does_not_come_back_from_the_disk(store: FullDisk) -> None:
    """Not before the checkpoint, while the row is still there, nor after it; the bytes are gone."""
    log = MemoryLog()
    store_folder = store.folder
    process = Process(log, SETTINGS, store)
    clicks(log, "abcd")
    post(log, 0, Interaction(user="eve@example.org", item="an item of hers", ts=NOW))
    process.batch(None, 5.0)
    checkpoint(process)
    clicks(log, "abcd")
    process.batch(None, 5.0)
    checkpoint(process)
    assert user_key("eve@example.org") in process.on_disk(0)
    store._rocks.flush()
    assert any(b"eve@example.org" in file.read_bytes() for file in store_folder.iterdir())
    post(log, 0, Interaction(user="eve@example.org", type="erase"))
    process.batch()
    post(log, 0, Interaction(user="eve@example.org", item="y", ts=NOW))
    process.batch()
    row = process.recommender.users.find(0, "eve@example.org")
    assert row is not None
    assert process.recommender.users.rings.accepted[row] == 1
    post(log, 0, Interaction(user="eve@example.org", type="erase"))
    process.batch()
    checkpoint(process)
    clicks(log, "abcd")
    process.batch(None, 5.0)
    assert process.state(0) == pure_state(log, UNBOUNDED, 0, 16)
    for file in store_folder.iterdir():
        content = file.read_bytes()
        assert b"eve@example.org" not in content, file.name
        assert b"an item of hers" not in content, file.name


def test_a_user_erased_while_the_disk_is_full_does_not_come_back_either(store: FullDisk) -> None:
    """Their row is still on disk after the checkpoint that deleted it in the changelog."""
    log = MemoryLog()
    process = served(log, store)
    erased = next(iter(process.on_disk(0)))
    user = erased[1:].decode()
    store.full = True
    post(log, 0, Interaction(user=user, type="erase"))
    process.batch()
    checkpoint(process)
    assert store.get([(0, erased)]) != [None]
    clicks(log, user, "y")
    process.batch()
    row = process.recommender.users.find(0, user)
    assert row is not None
    assert process.recommender.users.rings.accepted[row] == 1
    post(log, 0, Interaction(user=user, type="erase"))
    process.batch()
    store.full = False
    checkpoint(process)
    assert store.get([(0, erased)]) == [None]


def test_a_partition_that_is_given_up_leaves_the_disk(store: FullDisk) -> None:
    """Whoever is erased by its next owner is not to stay here."""
    process = served(MemoryLog(), store)
    process.takeover.remove((0,))
    assert store.mark(0) is None
    assert [row for part in store.scan(0) for row in part] == []


def test_a_user_who_comes_back_has_the_fast_weights_of_their_own_ring(store: FullDisk) -> None:
    """A row is another user's in between: nothing of theirs is left in it."""
    fast = []
    for settings_of, kept in ((SETTINGS, store), (UNBOUNDED, None)):
        log = MemoryLog()
        process = Process(log, settings_of, kept)
        for user, item in zip("abcdaefgab", "xxyyzxyzzy", strict=True):
            post(log, 0, Interaction(user=user, item=item, ts=NOW))
            process.batch(None, 5.0)
            checkpoint(process)
        row = process.recommender.users.find(0, "b")
        fast.append(process.recommender._live.fast.values[row])
    assert fast[0].any()
    assert fast[0] == pytest.approx(fast[1], abs=1e-5)
