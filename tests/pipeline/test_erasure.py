"""Erasing a user: state starts from nothing, and no bytes of the user are left."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

from metarec_stream.contract.codec import encode
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.profile import UserProfile
from metarec_stream.contract.receipt import Receipt, decode_receipt
from metarec_stream.contract.task_codec import decode_task_block
from metarec_stream.hashing import hash64
from metarec_stream.memory.log import MemoryLog, MemoryRecord
from metarec_stream.state.row import user_key
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
from tests.pipeline.test_exactly_once import answered, post
from tests.stream import histories_of

USER = "erika mustermann"
HASH = hash64(USER)
TOPICS = SETTINGS.topics
_PASSED = (type, ModuleType, FunctionType, BuiltinFunctionType)


def does(user: str = USER, item: str = "x", ts: int = NOW, event_id: str | None = None) -> Any:
    """An interaction."""
    return Interaction(user=user, item=item, ts=ts, event_id=event_id)


def erase(user: str = USER) -> Interaction:
    """The control interaction."""
    return Interaction(user=user, type="erase")


def filled(log: MemoryLog, *posted: Interaction) -> Process:
    """A process that has taken and checkpointed what was posted."""
    process = Process(log, SETTINGS)
    for each in posted:
        post(log, 0, each)
    process.drain()
    process.finish()
    return process


def receipts(log: MemoryLog) -> list[Receipt]:
    """All that were written."""
    return [decode_receipt(each) for each in log.read(TOPICS.receipts, 0, 0)]


def things_in(root: object) -> Iterator[object]:
    """All objects that can be reached from this one, but not through modules: this is one."""
    met, left = {id(root)}, [root]
    while left:
        thing = left.pop()
        yield thing
        for other in gc.get_referents(thing):
            if id(other) not in met and not isinstance(other, _PASSED):
                met.add(id(other))
                left.append(other)


def remembers(root: object, user: str, time: int) -> list[object]:
    """What holds the user's id, or an event by its time."""
    texts = (user, user.encode(), user_key(user))
    found: list[object] = []
    for thing in things_in(root):
        if isinstance(thing, str | bytes):
            found += [thing] if thing in texts else []
        elif isinstance(thing, np.ndarray) and thing.dtype == np.int64:
            found += [thing] if (thing == time).any() else []
    return found


def test_the_user_starts_from_nothing() -> None:
    """Ring and counters are those of the events after it, and other users' are as they were."""
    log = MemoryLog()
    process = filled(log, does(), does("other"), erase(), does(item="y"), does("other"))
    twin = filled(MemoryLog(), does("other"), does("other"), does(item="y"))
    users, expected = process.recommender.users, twin.recommender.users
    for user, count in ((USER, 1), ("other", 2)):
        row, same = users.find(0, user), expected.find(0, user)
        assert users.rings.accepted[row] == expected.rings.accepted[same] == count
        assert users.rings.length[row] == count
    header, rows = changelog(log, SETTINGS, 0)
    assert header is not None
    assert header.digest == digest_of(rows) == digest_of(process.state(0))
    assert (header.accepted, header.rejected, header.duplicates) == (4, 0, 0)
    assert answered(log, 0) == [0, 1, 3, 4]


def test_an_erasure_is_never_late_nor_a_duplicate() -> None:
    """It counts as no event: it does not move the watermark, and comes whenever it comes."""
    log = MemoryLog()
    late = Interaction(user=USER, type="erase", ts=0, event_id="1")
    process = filled(log, does(event_id="1"), late, late)
    assert process.recommender.users.find(0, USER) is None
    assert [each.interactions for each in receipts(log)] == [1, 0]
    assert log.read(TOPICS.dead_letters_topic(), 0, 0) == []


def test_its_event_ids_stay_known_as_hashes() -> None:
    """An event sent again by a retry does not bring back what was erased."""
    log = MemoryLog()
    process = filled(log, does(event_id="1"), erase(), does(event_id="1"))
    assert process.recommender.users.find(0, USER) is None
    assert process.recommender.hard.guards[0].duplicates == 1


@pytest.mark.parametrize("returns", [False, True])
def test_nothing_holds_the_user_any_more(returns: bool) -> None:
    """Memory, the compacted changelog, and later tasks: searched for the id and the events."""
    log = MemoryLog()
    profile, headers = encode(UserProfile(user=USER, attributes={"city": "Ulm"}), "json")
    process = Process(log, SETTINGS)
    told = MemoryRecord(TOPICS.users, 0, 0, NOW, USER.encode(), profile, headers)
    process.recommender.apply_profiles([told])
    then = NOW - 12_345
    for each in (does(ts=then), does(ts=then), does("other", "y"), does("other", "x")):
        post(log, 0, each)
    process.drain()
    process.finish()
    assert len(remembers(process.recommender, USER, then)) >= 2
    assert user_key(USER) in changelog(log, SETTINGS, 0)[1]
    tasks = log.end(TOPICS.tasks, 0)
    post(log, 0, erase())
    for each in [does(item="y")] * returns + [does("other", "y")]:
        post(log, 0, each)
    process.drain()
    process.finish()
    if returns:
        assert remembers(process.recommender, "somebody else", then) == []
    else:
        assert remembers(process.recommender, USER, then) == []
    assert (user_key(USER) in changelog(log, SETTINGS, 0)[1]) == returns
    blocks = [decode_task_block(each.value) for each in log.read(TOPICS.tasks, 0, tasks)]
    for block in blocks:
        mine = np.flatnonzero(block.users == HASH)
        assert (block.window[mine] < 0).all()
        assert len(mine) == returns
    [receipt] = receipts(log)
    assert receipt.user == f"{HASH:016x}"
    assert (receipt.interactions, receipt.remembered, receipt.profile) == (2, 2, True)
    assert (receipt.source.topic, receipt.source.partition, receipt.source.offset) == (INPUT, 0, 4)
    assert INPUT in receipt.retained


@pytest.mark.parametrize("together", [False, True])
def test_what_was_kept_to_find_users_alike_is_overwritten(together: bool) -> None:
    """The erased user's history holds what came after it alone, in one batch with it or later."""
    log = MemoryLog()
    process = Process(log, SETTINGS)
    for each in (does(), does("other"), erase(), does(item="y")):
        post(log, 0, each)
        if not together:
            process.drain()
    process.drain()
    process.finish()
    assert histories_of(process.recommender) == {USER: ["y"], "other": ["x"]}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_erasure_whose_batch_fails_happens_once(fault: Fault) -> None:
    """Known before or new in the batch, erased twice, and back again: one state, one receipt."""
    log = MemoryLog()
    process = filled(log, does(), does("b"))
    for each in (does(), erase(), does(item="y"), erase(), does(item="z"), erase("b"), does("c"),
                 erase("c")):  # fmt: skip
        post(log, 0, each)
    try:
        process.batch(fault, 5.0)
    except Crash:
        process = Process(log, SETTINGS)
    committed = log.committed("metarec", INPUT, 0) or 0
    assert process.state(0) == pure_state(log, SETTINGS, 0, committed)
    process.drain()
    process.finish()
    assert process.state(0) == pure_state(log, SETTINGS, 0, 10)
    header, rows = changelog(log, SETTINGS, 0)
    assert header is not None
    assert header.digest == digest_of(rows) == digest_of(process.state(0))
    assert [each.source.offset for each in receipts(log)] == [3, 5, 7, 9]
    assert [each.interactions for each in receipts(log)] == [2, 1, 1, 1]
    used = process.recommender.users
    assert len(used) == used.count(0) == 1


def test_a_partition_given_up_takes_what_was_erased_with_it() -> None:
    """Rows of erased users whose batch never ended are free again."""
    log = MemoryLog()
    process = filled(log, does())
    hard = process.recommender.hard
    hard.begin()
    hard.erase(0, USER, 1, NOW)
    process.recommender.drop(0)
    hard.undo()
    assert len(process.recommender.users) == 0
    assert hard.erased == []
