"""Rebuilding reads the input once more, in order, up to the committed offsets and no further."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaAdminClient, KafkaProducer, OffsetAndMetadata, TopicPartition

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Place, Record
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.memory.log import MemoryRecord
from metarec_stream.service.replay import Replay, TimeMerge

HOUR_MS = 3_600_000


def record(partition: int, offset: int, timestamp: int) -> MemoryRecord:
    """A record of which only the place and the time matter."""
    return MemoryRecord("input", partition, offset, timestamp, None, b"")


def places(records: Sequence[Record]) -> list[tuple[int, int]]:
    """Partition and offset of each record."""
    return [(each.partition, each.offset) for each in records]


def test_nothing_is_released_before_the_slowest_partition_has_come_that_far() -> None:
    """A partition that has delivered nothing yet may still hold the earliest record."""
    merge = TimeMerge([0, 1])
    merge.add(record(0, 0, 10))
    merge.add(record(0, 1, 30))
    assert merge.release() == []
    merge.add(record(1, 0, 20))
    assert places(merge.release()) == [(0, 0), (1, 0)]
    merge.finish(1)
    assert places(merge.release()) == [(0, 1)]


def test_the_order_of_time_gives_way_when_too_much_is_held_back() -> None:
    """Memory stays bounded while one partition delivers nothing."""
    merge = TimeMerge([0, 1], most_buffered=2)
    for offset in range(3):
        merge.add(record(0, offset, offset))
    assert places(merge.release()) == [(0, 0), (0, 1), (0, 2)]


@given(st.lists(st.lists(st.integers(-1, 50), max_size=20), min_size=1, max_size=4), st.randoms())
def test_every_record_is_released_once_in_the_order_of_its_partition(
    timestamps: list[list[int]], random: object
) -> None:
    """Whatever the timestamps, the log's order within a partition holds."""
    merge = TimeMerge(range(len(timestamps)))
    released: list[Record] = []
    for offset in range(20):
        for partition, times in enumerate(timestamps):
            if offset < len(times):
                merge.add(record(partition, offset, times[offset]))
            else:
                merge.finish(partition)
        released.extend(merge.release())
    for partition in range(len(timestamps)):
        merge.finish(partition)
    released.extend(merge.release())
    for partition, times in enumerate(timestamps):
        mine = [each.offset for each in released if each.partition == partition]
        assert mine == list(range(len(times)))


@pytest.fixture
def posted(settings: Settings) -> Settings:
    """Ten records in partition 0, at even hours, and ten in partition 1, at odd ones."""
    ensure_topics(settings)
    producer = KafkaProducer(**client_options(settings.kafka))
    for number in range(20):
        producer.send(
            settings.topics.interactions,
            key=b"k",
            value=b"%d" % number,
            partition=number % 2,
            timestamp_ms=1_700_000_000_000 + number * HOUR_MS,
        )
    producer.flush(timeout=10)
    producer.close(timeout=5)
    return settings


def read(settings: Settings, spans: dict[int, tuple[int, int]]) -> list[bytes | None]:
    """What a replay hands out."""
    return [each.value for chunk in Replay(settings).chunks(spans) for each in chunk]


def test_a_replay_reads_from_an_offset_to_below_another(posted: Settings) -> None:
    """Several partitions are merged by time."""
    expected = [b"3", b"4", b"5", b"6", b"8", b"10"]
    assert read(posted, {0: (2, 6), 1: (1, 3)}) == expected


def test_nothing_is_read_of_an_empty_span(posted: Settings) -> None:
    """Nor is anything waited for."""
    assert read(posted, {0: (0, 0), 1: (5, 4)}) == []


def test_the_place_is_what_retention_has_left_and_what_the_group_has_committed(
    posted: Settings,
) -> None:
    """First offset, the one after the last, and the group's, if it has one."""
    topic = posted.topics.interactions
    replay = Replay(posted)
    assert replay.place(0) == Place(first=0, end=10, committed=None)
    with KafkaAdminClient(**client_options(posted.kafka)) as admin:
        admin.delete_records({TopicPartition(topic, 0): 4})
        group = posted.kafka.group
        admin.alter_group_offsets(group, {TopicPartition(topic, 1): OffsetAndMetadata(3, "", -1)})
    assert replay.place(0) == Place(first=4, end=10, committed=None)
    assert replay.place(1) == Place(first=0, end=10, committed=3)
    replay.close()
