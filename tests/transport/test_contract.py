"""What `contract.transport` promises, checked over the in-memory log and over Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Aborted, Output, Record, Source
from metarec_stream.errors import Fatal
from tests.transport.backends import LIMIT_S, Backend, KafkaBackend, MemoryBackend, wait_until


@pytest.fixture(params=["memory", "kafka"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """One of the two logs, empty."""
    backend: Backend
    if request.param == "memory":
        backend = MemoryBackend(Settings())
    else:
        backend = KafkaBackend(request.getfixturevalue("settings"))
    yield backend
    backend.close()


def take(source: Source, count: int) -> list[Record]:
    """The next records of all partitions, this many."""
    taken: list[Record] = []
    deadline = time.monotonic() + LIMIT_S
    while len(taken) < count:
        assert time.monotonic() < deadline, f"only {len(taken)} of {count} records came"
        taken.extend(source.poll(100, 100))
    return taken


def output(backend: Backend, partition: int, value: bytes) -> Output:
    """A recommendation, as far as the transport is concerned."""
    return Output(backend.settings.topics.recommendations, partition, b"user", value)


def answers(backend: Backend) -> list[tuple[int, bytes | None]]:
    """What subscribers of the recommendations see: partition and value."""
    topic = backend.settings.topics.recommendations
    return sorted((record.partition, record.value or b"") for record in backend.read(topic))


def values(records: Sequence[Record]) -> list[bytes | None]:
    """The records' values, in the order they came."""
    return [record.value for record in records]


def test_records_come_as_posted_and_in_order_within_their_partition(backend: Backend) -> None:
    """Keys, values and headers are bytes as they were sent; offsets count up."""
    started_ms = time.time() * 1e3 - 1_000
    for number in range(5):
        backend.post(number % 2, b"k%d" % number, b"v%d" % number, [("h", b"\xff%d" % number)])
    backend.post(1, None, None if isinstance(backend, MemoryBackend) else b"")
    taken = take(backend.source(), 6)
    for partition, numbers in ((0, [0, 2, 4]), (1, [1, 3])):
        mine = [record for record in taken if record.partition == partition][: len(numbers)]
        assert [record.offset for record in mine] == list(range(len(numbers)))
        assert values(mine) == [b"v%d" % number for number in numbers]
        assert [record.key for record in mine] == [b"k%d" % number for number in numbers]
        assert [list(each.headers) for each in mine] == [[("h", b"\xff%d" % n)] for n in numbers]
        assert all(each.topic == backend.settings.topics.interactions for each in mine)
        assert all(started_ms < each.timestamp < started_ms + 60_000 for each in mine)


def test_a_poll_hands_out_no_more_than_was_asked_for(backend: Backend) -> None:
    """max_records bounds a poll, and what is left comes with the next ones."""
    for number in range(7):
        backend.post(number % 2, b"k", b"v%d" % number)
    source = backend.source()
    sizes: list[int] = []

    def took_all() -> bool:
        sizes.append(len(source.poll(100, 3)))
        return sum(sizes) >= 7

    wait_until(took_all)
    assert max(sizes) == 3
    assert sum(sizes) == 7


def test_a_commit_shows_outputs_and_offsets_together(backend: Backend) -> None:
    """Before it no subscriber sees anything; after it, each output is in the partition it names."""
    backend.post(0, b"k", b"a")
    backend.post(1, b"k", b"b")
    source, transaction = backend.source(), backend.transaction()
    take(source, 2)
    transaction.begin()
    transaction.send_offsets({0: 1, 1: 1}, source.group_metadata())
    transaction.send(output(backend, 1, b"one"))
    transaction.send(output(backend, 0, b"zero"))
    assert answers(backend) == []
    transaction.commit()
    assert answers(backend) == [(0, b"zero"), (1, b"one")]
    assert backend.committed() == {0: 1, 1: 1}


def test_an_aborted_transaction_leaves_nothing_and_is_read_again(backend: Backend) -> None:
    """Subscribers see none of it, and the next member gets the same records."""
    backend.post(0, b"k", b"a")
    source, transaction = backend.source(), backend.transaction()
    before = values(take(source, 1))
    transaction.begin()
    transaction.send_offsets({0: 1}, source.group_metadata())
    transaction.send(output(backend, 0, b"never"))
    transaction.abort()
    assert answers(backend) == []
    assert values(take(backend.source(), 1)) == before
    transaction.begin()
    transaction.send(output(backend, 0, b"after"))
    transaction.commit()
    assert answers(backend) == [(0, b"after")]


def test_a_new_member_goes_on_where_the_group_has_committed(backend: Backend) -> None:
    """The committed offset is the next one to be read."""
    for value in (b"a", b"b", b"c"):
        backend.post(0, b"k", value)
    source, transaction = backend.source(), backend.transaction()
    take(source, 3)
    transaction.begin()
    transaction.send_offsets({0: 2}, source.group_metadata())
    transaction.commit()
    assert values(take(backend.source(), 1)) == [b"c"]


def test_offsets_of_a_member_that_was_replaced_are_refused(backend: Backend) -> None:
    """The stale member is told so before it wrote anything, and commits nothing."""
    backend.post(0, b"k", b"a")
    source, transaction = backend.source(), backend.transaction()
    take(source, 1)
    stale = source.group_metadata()
    take(backend.source(), 1)
    transaction.begin()
    with pytest.raises(Aborted):
        transaction.send_offsets({0: 1}, stale)
    transaction.abort()
    assert backend.committed()[0] is None
    assert answers(backend) == []


def test_a_later_producer_with_the_same_id_fences_the_earlier(backend: Backend) -> None:
    """The earlier one's open transaction never shows, and the message names the setting."""
    earlier = backend.transaction()
    earlier.begin()
    earlier.send(output(backend, 0, b"never"))
    later = backend.transaction()
    with pytest.raises(Fatal, match="instance_id"):
        earlier.commit()
    later.begin()
    later.send(output(backend, 0, b"later"))
    later.commit()
    assert answers(backend) == [(0, b"later")]


def test_a_renewed_producer_settles_what_was_open(backend: Backend) -> None:
    """Nothing of the open transaction shows, the offsets are known, and the next one goes on."""
    backend.post(0, b"k", b"a")
    source, transaction = backend.source(), backend.transaction()
    take(source, 1)
    transaction.begin()
    transaction.send_offsets({0: 1}, source.group_metadata())
    transaction.send(output(backend, 0, b"never"))
    transaction.renew()
    assert source.committed(0) is None
    transaction.begin()
    transaction.send_offsets({0: 1}, source.group_metadata())
    transaction.send(output(backend, 0, b"later"))
    transaction.commit()
    assert source.committed(0) == 1
    assert answers(backend) == [(0, b"later")]


def test_a_rewound_member_reads_again_from_the_committed_offset(backend: Backend) -> None:
    """From where it says, as long as the group has committed nothing."""
    for value in (b"a", b"b", b"c"):
        backend.post(0, b"k", value)
    source, transaction = backend.source(), backend.transaction()
    take(source, 3)
    assert source.owns(0)
    source.rewind({0: 1})
    assert values(take(source, 2)) == [b"b", b"c"]
    transaction.begin()
    transaction.send_offsets({0: 2}, source.group_metadata())
    transaction.commit()
    source.rewind({0: 0})
    assert values(take(source, 1)) == [b"c"]


def test_lag_is_what_lies_between_position_and_end(backend: Backend) -> None:
    """It counts records that were not handed out, and 0 once all were."""
    source = backend.source()
    for number in range(5):
        backend.post(0, b"k", b"%d" % number)
    taken = 0
    while not taken:
        taken = len(source.poll(100, 2))
    assert source.lag()[0] == 5 - taken
    take(source, 5 - taken)
    assert dict(source.lag()) == {0: 0, 1: 0}


def test_a_record_without_key_and_value_can_be_passed_on(backend: Backend) -> None:
    """As the dead letter of an empty record, with a header that has no value."""
    transaction = backend.transaction()
    topic = backend.settings.topics.dead_letters_topic()
    transaction.begin()
    transaction.send(Output(topic, 0, None, None, (("metarec-reason", b"undecodable"),)))
    transaction.commit()
    [record] = backend.read(topic)
    assert record.key is None
    assert not record.value
    assert dict(record.headers) == {"metarec-reason": b"undecodable"}
