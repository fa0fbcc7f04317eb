"""A log in memory: topics of partitions, committed offsets, and the fences of groups and producers.

It keeps the contract that Kafka keeps for us, so that the same pipeline runs without a broker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from metarec_stream.clock import Clock, SystemClock
from metarec_stream.contract.transport import Output


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """One record of the log; meets `contract.transport.Record`."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class _Partition:
    """Records from offset `first` on; what was before has been dropped."""

    def __init__(self) -> None:
        self.first = 0
        self.records: list[MemoryRecord] = []


class MemoryLog:
    """Every topic has the same number of partitions and exists from its first use."""

    def __init__(self, partitions: int = 1, clock: Clock | None = None) -> None:
        self.partitions = partitions
        self._clock = clock or SystemClock()
        self._topics: dict[str, list[_Partition]] = {}
        self._committed: dict[tuple[str, str, int], int] = {}
        self._generations: defaultdict[str, int] = defaultdict(int)
        self._epochs: defaultdict[str, int] = defaultdict(int)

    def append(self, output: Output, timestamp: int | None = None) -> MemoryRecord:
        """Add a record at the end of its partition; its timestamp is the clock's if not given."""
        partition = self._partition(output.topic, output.partition)
        record = MemoryRecord(
            topic=output.topic,
            partition=output.partition,
            offset=partition.first + len(partition.records),
            timestamp=self._clock.now_ms() if timestamp is None else timestamp,
            key=output.key,
            value=output.value,
            headers=output.headers,
        )
        partition.records.append(record)
        return record

    def read(
        self, topic: str, partition: int, offset: int, limit: int | None = None
    ) -> Sequence[MemoryRecord]:
        """At most `limit` records from an offset on, or from the first one kept after it."""
        kept = self._partition(topic, partition)
        start = max(0, offset - kept.first)
        return kept.records[start : None if limit is None else start + limit]

    def records(self, topic: str) -> list[MemoryRecord]:
        """All records of a topic that are kept, one partition after the other."""
        return [
            record for number in range(self.partitions) for record in self.read(topic, number, 0)
        ]

    def end(self, topic: str, partition: int) -> int:
        """The offset that the next record gets."""
        kept = self._partition(topic, partition)
        return kept.first + len(kept.records)

    def begin(self, topic: str, partition: int) -> int:
        """The offset of the first record that is kept, or of the next one."""
        return self._partition(topic, partition).first

    def drop_before(self, topic: str, partition: int, offset: int) -> None:
        """Retention: forget the records below an offset."""
        kept = self._partition(topic, partition)
        count = min(max(0, offset - kept.first), len(kept.records))
        del kept.records[:count]
        kept.first += count

    def committed(self, group: str, topic: str, partition: int) -> int | None:
        """The next offset that the group reads, if it ever committed one."""
        return self._committed.get((group, topic, partition))

    def commit(self, group: str, topic: str, offsets: dict[int, int]) -> None:
        """Set the next offset that the group reads, by partition."""
        for partition, offset in offsets.items():
            self._committed[group, topic, partition] = offset

    def join(self, group: str) -> int:
        """A member takes the group over: its generation, which makes every earlier one stale."""
        self._generations[group] += 1
        return self._generations[group]

    def generation(self, group: str) -> int:
        """The group's current generation; 0 before anyone joined."""
        return self._generations[group]

    def fence(self, transactional_id: str) -> int:
        """A producer takes the id over: its epoch, which fences every earlier one."""
        self._epochs[transactional_id] += 1
        return self._epochs[transactional_id]

    def epoch(self, transactional_id: str) -> int:
        """The epoch of the id's latest producer; 0 before there was one."""
        return self._epochs[transactional_id]

    def _partition(self, topic: str, number: int) -> _Partition:
        partitions = self._topics.get(topic)
        if partitions is None:
            partitions = [_Partition() for _ in range(self.partitions)]
            self._topics[topic] = partitions
        return partitions[number]
