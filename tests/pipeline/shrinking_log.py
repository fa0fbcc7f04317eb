"""A log in memory that is compacted and cut off as Kafka does it, and what was in it all along."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from metarec_stream.contract.transport import Output
from metarec_stream.memory.log import MemoryLog, MemoryRecord


class ShrinkingLog(MemoryLog):
    """`whole` keeps what retention takes; offsets stay when records go."""

    def __init__(self, partitions: int) -> None:
        super().__init__(partitions)
        self.whole = MemoryLog(partitions)
        self._compacted: set[tuple[str, int, int]] = set()

    def append(self, output: Output, timestamp: int | None = None) -> MemoryRecord:
        self.whole.append(output, timestamp)
        return super().append(output, timestamp)

    def read(
        self, topic: str, partition: int, offset: int, limit: int | None = None
    ) -> Sequence[MemoryRecord]:
        kept = super().read(topic, partition, offset)
        there = (
            each for each in kept if (topic, partition, each.offset) not in self._compacted
        )  # fmt: skip
        return list(islice(there, limit))

    def compact(self, topic: str, partition: int, below: int, tombstones: bool) -> None:
        """Of each key the newest record below an offset stays; of a deleted one, none in the end.

        `tombstones`: whether they have been there for long enough to go as well.
        """
        records = [each for each in self.read(topic, partition, 0) if each.offset < below]
        newest = {each.key: each.offset for each in records}
        self._compacted |= {
            (topic, partition, each.offset)
            for each in records
            if each.offset != newest[each.key] or (tombstones and each.value is None)
        }
