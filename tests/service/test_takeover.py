"""Taking over from a changelog that is whole, damaged, cut short, or behind what retention left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.transport import Output, Place, Record
from metarec_stream.errors import Fatal
from metarec_stream.memory.history import MemoryHistory
from metarec_stream.memory.log import MemoryLog
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.service.takeover import Takeover
from metarec_stream.state.header import HEADER_KEY, encode_header, segment_key
from metarec_stream.state.row import user_key
from tests.pipeline.process import INPUT, NOW, SETTINGS, Process, changelog, digest_of, pure_state
from tests.pipeline.test_exactly_once import post
from tests.stream import histories_of

STATE = SETTINGS.topics.state


def served(events: int = 40) -> MemoryLog:
    """A log whose events were taken, and checkpointed in the end."""
    log = MemoryLog()
    process = Process(log, SETTINGS)
    for number in range(events):
        post(log, 0, Interaction(user=f"u{number % 7}", item=f"i{number % 5}", ts=NOW,
                                 event_id=f"{number}"))  # fmt: skip
    process.drain()
    process.finish()
    return log


def write(log: MemoryLog, key: bytes, value: bytes | None) -> None:
    """Another record of the changelog."""
    log.append(Output(STATE, 0, key, value))


def altered_row(log: MemoryLog) -> None:
    """A row that can be read and says something else."""
    _, rows = changelog(log, SETTINGS, 0)
    elements = msgspec.msgpack.decode(rows[user_key("u1")])
    elements[3] += 1
    write(log, user_key("u1"), msgspec.msgpack.encode(elements))


def unreadable_row(log: MemoryLog) -> None:
    """Bytes that are no row."""
    write(log, user_key("u1"), b"\xc1")


def missing_row(log: MemoryLog) -> None:
    """A user whose row was deleted."""
    write(log, user_key("u1"), None)


def invented_row(log: MemoryLog) -> None:
    """A user who never was."""
    _, rows = changelog(log, SETTINGS, 0)
    write(log, user_key("nobody"), rows[user_key("u1")])


def foreign_key(log: MemoryLog) -> None:
    """A record of somebody else's."""
    write(log, b"\xffwhat", b"?")


def missing_header(log: MemoryLog) -> None:
    """Rows that nothing is said of."""
    write(log, HEADER_KEY, None)


def missing_segment(log: MemoryLog) -> None:
    """Event ids that are forgotten."""
    write(log, segment_key(0), None)


def other_digest(log: MemoryLog) -> None:
    """A header that says something else."""
    header, _ = changelog(log, SETTINGS, 0)
    assert header is not None
    write(log, HEADER_KEY, encode_header(msgspec.structs.replace(header, digest=bytes(16))))


DAMAGES = [
    altered_row, unreadable_row, missing_row, invented_row, foreign_key, missing_header,
    missing_segment, other_digest,
]  # fmt: skip


def test_a_whole_changelog_is_taken_over_without_replaying_anything() -> None:
    """Nothing comes after its checkpoint; the state is the one that the log makes."""
    log = served()
    log.drop_before(INPUT, 0, 40)
    process = Process(log, SETTINGS)
    assert process.degraded == []
    log_of_all = served()
    assert process.state(0) == pure_state(log_of_all, SETTINGS, 0, 40)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_changelog_is_rebuilt_from_the_input(damage: Callable[[MemoryLog], None]) -> None:
    """The state is right, nothing is degraded, and the next checkpoint mends the changelog."""
    log = served()
    damage(log)
    process = Process(log, SETTINGS)
    assert process.degraded == []
    assert process.state(0) == pure_state(log, SETTINGS, 0, 40)
    process.finish()
    header, rows = changelog(log, SETTINGS, 0)
    assert header is not None
    assert header.digest == digest_of(rows) == digest_of(process.state(0))
    assert (header.offset, header.damaged) == (40, False)


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_the_input_what_can_be_read_is_kept(damage: Callable[[MemoryLog], None]) -> None:
    """Degraded, said so for good in the header, and the changelog fits its digest again."""
    log = served()
    damage(log)
    log.drop_before(INPUT, 0, 10)
    process = Process(log, SETTINGS)
    assert ("state-damaged", 0) in process.degraded
    assert len(process.recommender.users) >= 6
    post(log, 0, Interaction(user="u0", item="i0", ts=NOW))
    process.drain()
    process.finish()
    header, rows = changelog(log, SETTINGS, 0)
    assert header is not None
    assert header.damaged
    assert (header.offset, header.digest) == (41, digest_of(rows))
    again = Process(log, SETTINGS)
    assert again.degraded == []
    assert again.state(0) == process.state(0)


def test_what_retention_took_after_the_checkpoint_is_counted() -> None:
    """It goes on from what is there; how many records are missing stays in the header."""
    log = MemoryLog()
    first = Process(log, SETTINGS)
    for number in range(10):
        post(log, 0, Interaction(user="a", item=f"i{number}", ts=NOW))
    first.drain()
    log.drop_before(INPUT, 0, 4)
    process = Process(log, SETTINGS)
    assert process.degraded == [("replay-hole", 0)]
    process.finish()
    header, _ = changelog(log, SETTINGS, 0)
    assert header is not None
    assert (header.offset, header.missing, header.accepted) == (10, 4, 6)
    assert Process(log, SETTINGS).degraded == []


def test_an_input_topic_made_anew_is_fatal() -> None:
    """The committed offset lies beyond its end: nobody asked for starting over."""
    log = served()
    log.commit("metarec", INPUT, {0: 99})
    with pytest.raises(Fatal, match=r"committed offset 99 of interactions/0, which ends at 40"):
        Process(log, SETTINGS)


def test_rows_of_a_later_release_are_refused() -> None:
    """An older release must not rebuild what a newer one wrote."""
    log = served()
    write(log, user_key("u1"), msgspec.msgpack.encode([2]))
    with pytest.raises(Fatal, match="later release"):
        Process(log, SETTINGS)


def test_offsets_that_were_moved_back_teach_nothing_twice() -> None:
    """The state goes on from where it is."""
    log = served()
    log.commit("metarec", INPUT, {0: 12})
    process = Process(log, SETTINGS)
    assert process.source.lag() == {0: 0}
    assert process.state(0) == pure_state(log, SETTINGS, 0, 40)


def test_a_partition_that_goes_while_it_is_restored_is_forgotten() -> None:
    """The others are restored all the same."""
    log = MemoryLog(partitions=2)
    for partition in (0, 1):
        post(log, partition, Interaction(user="a", item="i", ts=NOW))
    Process(log, SETTINGS).drain()
    process = Process(log, SETTINGS)
    process.takeover.remove((0, 1))
    process.takeover.add((0, 1))
    next(process.takeover._restore_all())
    process.takeover.remove((0,))
    process.takeover.step()
    assert process.takeover.waiting == []
    assert list(process.recommender.hard.progress) == [1]
    assert process.state(1) == pure_state(log, SETTINGS, 1, 1)


class Slow(MemoryHistory):
    """Knows every answer at the second asking only, and has every slice after an empty one."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log, INPUT, STATE, SETTINGS.kafka.group)
        self.asked: list[object] = []

    def fence(self, partitions: Sequence[int]) -> bool:
        return self._again("fence")

    def settled(self, partition: int) -> bool:
        return self._again("settled", partition)

    def place(self, partition: int) -> Place | None:  # type: ignore[override]
        return super().place(partition) if self._again("place", partition) else None

    def _chunks(
        self, topic: str, partition: int, first: int, end: int
    ) -> Iterator[Sequence[Record]]:
        for chunk in super()._chunks(topic, partition, first, end):
            self.asked.append(("wait", topic))
            yield ()
            yield chunk

    def _again(self, *question: object) -> bool:
        self.asked.append(question)
        return self.asked.count(question) > 1


def test_what_is_not_there_yet_is_not_waited_for() -> None:
    """Each step ends where there is something to wait for, so that others get their turn."""
    log = served()
    process = Process(log, SETTINGS)
    process.takeover.remove((0,))
    history = Slow(log)
    takeover = Takeover(
        SETTINGS, process.recommender, history, ConsumerMetrics(CollectorRegistry()), process.clock,
        process.source.resume, lambda *_: None,
    )  # fmt: skip
    takeover.add((0,))
    steps = 0
    while takeover.waiting:
        takeover.step()
        steps += 1
    waits = sum(each[0] == "wait" for each in history.asked if isinstance(each, tuple))
    assert waits >= 1
    # Fence, settled, place, each empty slice, and the step that ends it.
    assert steps == 3 + waits + 1
    assert process.state(0) == pure_state(log, SETTINGS, 0, 40)


def test_a_new_process_knows_what_is_popular() -> None:
    """The newest records of the input warm its soft state up, those before the checkpoint too."""
    log = served()
    process = Process(log, SETTINGS)
    counted = process.recommender._soft.arrays().popularity.total
    numbers = [process.recommender.items.index(f"i{number}") for number in range(5)]
    assert counted[numbers].tolist() == [8.0] * 5
    assert list(process.recommender.hard.progress) == [0]


def test_a_new_process_knows_who_had_what() -> None:
    """What is kept to find users alike is there again, out of the rings, in their order."""
    log = MemoryLog()
    before = Process(log, SETTINGS)
    for user, item in ("ax", "ay", "bx", "az", "ax", "by"):
        post(log, 0, Interaction(user=user, item=item, ts=NOW))
    before.drain()
    before.finish()
    assert histories_of(before.recommender) == {"a": ["x", "y", "z"], "b": ["x", "y"]}
    after = histories_of(Process(log, SETTINGS).recommender)
    assert after == {"a": ["y", "z", "x"], "b": ["x", "y"]}
