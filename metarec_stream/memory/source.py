"""The input's consumer over the in-memory log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metarec_stream.contract.transport import Record
from metarec_stream.memory.log import MemoryLog, MemoryRecord


@dataclass(frozen=True, slots=True)
class MemoryGeneration:
    """A group's generation, as `send_offsets` checks it."""

    group: str
    number: int


class MemorySource:
    """All partitions of one topic, read from the group's committed offsets; the latest one made
    for a group owns it.
    """

    def __init__(self, log: MemoryLog, topic: str, group: str = "metarec") -> None:
        self._log = log
        self._topic = topic
        self._generation = MemoryGeneration(group, log.join(group))
        self._next = {
            partition: log.committed(group, topic, partition) or 0
            for partition in range(log.partitions)
        }
        self._turn = 0

    def poll(self, timeout_ms: int, max_records: int) -> Sequence[Record]:
        """The next records at once: nothing is appended while we wait, so there is no waiting."""
        taken: list[MemoryRecord] = []
        for step in range(self._log.partitions):
            partition = (self._turn + step) % self._log.partitions
            room = max_records - len(taken)
            records = self._log.read(self._topic, partition, self._next[partition], room)
            if records:
                self._next[partition] = records[-1].offset + 1
                taken.extend(records)
        self._turn = (self._turn + 1) % self._log.partitions
        return taken

    def group_metadata(self) -> object:
        return self._generation

    def lag(self) -> Mapping[int, int]:
        return {
            partition: self._log.end(self._topic, partition) - position
            for partition, position in self._next.items()
        }

    def committed(self, partition: int) -> int | None:
        return self._log.committed(self._generation.group, self._topic, partition)

    def owns(self, partition: int) -> bool:
        return self._log.generation(self._generation.group) == self._generation.number

    def resume(self, partition: int, offset: int) -> None:
        """Go on from an offset."""
        self._next[partition] = offset

    def rewind(self, firsts: Mapping[int, int]) -> None:
        for partition, first in firsts.items():
            committed = self.committed(partition)
            self._next[partition] = first if committed is None else committed
