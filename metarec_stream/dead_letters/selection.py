"""Which dead letters are meant, and how they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import structlog

from metarec_stream.contract.transport import Record
from metarec_stream.dead_letters.letter import Letter, letter_of
from metarec_stream.errors import Degraded
from metarec_stream.kafka.fixed_log import FixedLog

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Selection:
    """What letters have to be like; what is absent does not matter."""

    reasons: frozenset[str] = frozenset()
    since_ms: int | None = None
    """Rejected at this time or later."""
    until_ms: int | None = None
    """Rejected before this time."""
    partitions: frozenset[int] = frozenset()
    offsets: frozenset[int] = frozenset()
    """Of the letters themselves."""

    def has(self, letter: Letter) -> bool:
        """Whether the letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since_ms is None or letter.timestamp >= self.since_ms)
            and (self.until_ms is None or letter.timestamp < self.until_ms)
            and (not self.partitions or letter.partition in self.partitions)
            and (not self.offsets or letter.offset in self.offsets)
        )


def selected_letters(log: FixedLog, topic: str, selection: Selection) -> Iterator[Letter]:
    """The letters that are meant, partition after partition, in the order they were written."""
    for partition in range(log.partitions[topic]):
        if not selection.partitions or partition in selection.partitions:
            first = min(selection.offsets, default=0)
            records = log.records(topic, partition, first)
            yield from (each for each in readable(records) if selection.has(each))


def readable(records: Iterable[Record]) -> Iterator[Letter]:
    """The letters among these; what is none of ours is warned about and passed over."""
    for record in records:
        try:
            yield letter_of(record)
        except Degraded as error:
            log.warning("not_a_dead_letter", reason=str(error))
