"""What was written before a member came, over the in-memory log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from metarec_stream.contract.transport import Place, Record
from metarec_stream.memory.log import MemoryLog

CHUNK = 100


class MemoryHistory:
    """Reads a log whose transactions are settled at once; meets `contract.transport.History`."""

    def __init__(self, log: MemoryLog, input_topic: str, state_topic: str, group: str) -> None:
        self._log = log
        self._input = input_topic
        self._state = state_topic
        self._group = group

    def fence(self, partitions: Sequence[int]) -> bool:
        return True

    def settled(self, partition: int) -> bool:
        return True

    def place(self, partition: int) -> Place:
        return Place(
            first=self._log.begin(self._input, partition),
            end=self._log.end(self._input, partition),
            committed=self._log.committed(self._group, self._input, partition),
        )

    def changelog(self, partition: int, first: int) -> Iterator[Sequence[Record]]:
        end = self._log.end(self._state, partition)
        yield from self._chunks(self._state, partition, first, end)

    def interactions(self, spans: Mapping[int, tuple[int, int]]) -> Iterator[Sequence[Record]]:
        for partition, (first, end) in spans.items():
            yield from self._chunks(self._input, partition, first, end)

    def forget(self) -> None:
        pass

    def _chunks(
        self, topic: str, partition: int, first: int, end: int
    ) -> Iterator[Sequence[Record]]:
        kept = [each for each in self._log.read(topic, partition, first) if each.offset < end]
        for begin in range(0, len(kept), CHUNK):
            yield kept[begin : begin + CHUNK]
