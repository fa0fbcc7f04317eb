"""Whatever aborts or crashes wherever: hard state is the pure function of the log, always."""

from __future__ import annotations

import pytest

from metarec_stream.contract.codec import decode_recommendation, encode_interaction
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.transport import Output
from metarec_stream.errors import Fatal
from metarec_stream.memory.log import MemoryLog
from tests.pipeline.any_order import AnyOrder, RetentionTakesMore, bounded
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


def post(log: MemoryLog, partition: int, interaction: Interaction | None) -> None:
    """None stands for a record that is no interaction."""
    value, headers = (b"{", ()) if interaction is None else encode_interaction(interaction)
    log.append(Output(INPUT, partition, b"key", value, headers), NOW)


def answered(log: MemoryLog, partition: int) -> list[int]:
    """Offsets of the events that recommendations answer, in order."""
    records = log.read(SETTINGS.topics.recommendations, partition, 0)
    lists = [decode_recommendation(each.value or b"", b"application/msgpack") for each in records]
    return [each.source.offset for each in lists]


AnyOrder.TestCase.settings = bounded(examples=50)
RetentionTakesMore.TestCase.settings = bounded(examples=20)
TestAnyOrder = AnyOrder.TestCase
TestRetentionTakesMore = RetentionTakesMore.TestCase
del AnyOrder, RetentionTakesMore


@pytest.mark.parametrize("fault", FAULTS)
def test_a_batch_that_fails_is_learned_and_answered_once(fault: Fault) -> None:
    """At whatever step it fails: known users, new ones, event ids, and a checkpoint in it."""
    log = MemoryLog()
    process = Process(log, SETTINGS)
    for number in range(8):
        post(log, 0, Interaction(user="ab"[number % 2], item="x", ts=NOW, event_id=f"{number}"))
    process.batch(None, 5.0)
    for number in range(6, 12):
        post(log, 0, Interaction(user="abc"[number % 3], item="y", ts=NOW, event_id=f"{number}"))
    try:
        process.batch(fault, 5.0)
    except Crash:
        process = Process(log, SETTINGS)
    committed = log.committed("metarec", INPUT, 0) or 0
    assert process.state(0) == pure_state(log, SETTINGS, 0, committed)
    process.drain()
    process.finish()
    assert process.state(0) == pure_state(log, SETTINGS, 0, 14)
    assert answered(log, 0) == [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13]
    header, rows = changelog(log, SETTINGS, 0)
    assert header is not None
    assert header.digest == digest_of(rows) == digest_of(process.state(0))


def test_whoever_is_erased_after_a_checkpoint_of_unknown_outcome_leaves_the_changelog() -> None:
    """No offset tells whether a checkpoint without records was written; it was."""
    log = MemoryLog()
    process = Process(log, SETTINGS)
    for user in "ab":
        post(log, 0, Interaction(user=user, item="x", ts=NOW, event_id=user))
    process.batch()
    process.batch("commit done unheard", 5.0)
    assert changelog(log, SETTINGS, 0)[1].keys() == {b"ua", b"ub", b"g0"}
    post(log, 0, Interaction(user="a", type="erase"))
    process.batch(None, 5.0)
    process.batch(None, 5.0)
    header, rows = changelog(log, SETTINGS, 0)
    assert rows.keys() == {b"ub", b"g0"}
    assert header is not None
    assert header.digest == digest_of(rows)


@pytest.mark.parametrize("sizes", [(1,), (7,), (3, 1, 5), (1_000,)])
def test_any_batching_gives_the_same_digest(sizes: tuple[int, ...]) -> None:
    """The last header is the same, byte for byte, however records fell into batches."""
    headers = []
    for size in (sizes, (50,)):
        log = MemoryLog()
        process = Process(log, SETTINGS)
        number = 0
        while number < 60:
            for _ in range(size[number % len(size)]):
                post(log, 0, Interaction(user=f"u{number % 7}", item=f"i{number % 5}", ts=NOW,
                                         event_id=f"{number % 50}"))  # fmt: skip
                number += 1
                if number == 60:
                    break
            process.drain()
        process.finish()
        headers.append(changelog(log, SETTINGS, 0)[0])
    assert headers[0] == headers[1] is not None


def test_an_event_of_an_undone_batch_moves_the_soft_state_once() -> None:
    """Learned again, it is not counted again: popularity is that of a run without an abort."""
    totals, samples = [], []
    for faults in ((None,), ("abort at commit", "commit lost", None)):
        log = MemoryLog()
        process = Process(log, SETTINGS)
        for item in "xxyzx":
            post(log, 0, Interaction(user="a", item=item, ts=NOW))
        for fault in faults:
            process.batch(fault)
        popularity = process.recommender._soft.arrays().popularity
        totals.append(popularity.total[:3].tolist())
        samples.append(
            process.registry.get_sample_value(
                "metarec_events_total", {"type": "click", "outcome": "accepted"}
            )
        )
        assert answered(log, 0) == [0, 1, 2, 3, 4]
    assert totals[0] == totals[1] == [3.0, 1.0, 1.0]
    assert samples == [5.0, 5.0]


def test_what_the_brokers_refuse_ends_as_one_dead_letter() -> None:
    """Halved until the record stands alone; it stays learned, the others are answered."""
    log = MemoryLog()
    process = Process(log, SETTINGS)
    poison = 5

    def send(output: Output) -> None:
        ours = output.topic == SETTINGS.topics.recommendations
        bad = ours and answers(output) == poison
        type(process.transaction).send(process.transaction, output)
        process.transaction.fault = "refuse" if bad else process.transaction.fault

    def answers(output: Output) -> int:
        return decode_recommendation(output.value or b"", b"application/msgpack").source.offset

    process.transaction.send = send  # type: ignore[method-assign]
    for number in range(8):
        post(log, 0, Interaction(user=f"u{number}", item="x", ts=NOW))
    for _ in range(30):
        process.batch()
    assert sorted(answered(log, 0)) == [0, 1, 2, 3, 4, 6, 7]
    [letter] = log.read(SETTINGS.topics.dead_letters_topic(), 0, 0)
    said = dict(letter.headers)
    assert (said["metarec-reason"], said["metarec-offset"]) == (b"too-large", b"5")
    assert process.state(0) == pure_state(log, SETTINGS, 0, 8)


def test_a_fenced_producer_ends_the_process() -> None:
    """Another process has its transactional id: only a person can tell which one should live."""
    log = MemoryLog()
    process = Process(log, SETTINGS)
    log.fence(f"id.{Process.made}")
    post(log, 0, Interaction(user="a", item="x", ts=NOW))
    with pytest.raises(Fatal, match="fenced"):
        process.batch()
