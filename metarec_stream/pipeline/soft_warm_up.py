"""Soft state for a process that begins with none: the newest records of the input, read once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from metarec_stream.contract.transport import Record
from metarec_stream.memory.log import MemoryRecord

if TYPE_CHECKING:
    from metarec_stream.pipeline.recommender import Recommender


class SoftWarmUp:
    """Puts records through the soft state alone.

    Their users live in partitions aside, with negative numbers, which are forgotten at the end.
    """

    def __init__(self, recommender: Recommender, partitions: Sequence[int]) -> None:
        self._recommender = recommender
        self._partitions = partitions
        for partition in partitions:
            recommender.assign(_aside(partition))

    def take(self, records: Sequence[Record]) -> None:
        """Count these; they are not counted again when their partitions are replayed."""
        self._recommender.replay([_moved(record) for record in records])
        for record in records:
            self._recommender.note_counted(record.partition, record.offset + 1)

    def finish(self) -> None:
        """Forget the users aside."""
        for partition in self._partitions:
            self._recommender.drop(_aside(partition))
            self._recommender.note_counted(_aside(partition), 0)


def _aside(partition: int) -> int:
    return -1 - partition


def _moved(record: Record) -> MemoryRecord:
    return MemoryRecord(
        record.topic, _aside(record.partition), record.offset, record.timestamp,
        record.key, record.value, tuple(record.headers),
    )  # fmt: skip
