"""How far the group is: its committed offsets against the ends of the input."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.kafka.source import reading_options

_ANSWER_MS = 3_000
_PATIENCE_S = 60.0


class Positions:
    """A look at the group from outside it; a context manager, of one thread."""

    def __init__(self, settings: Settings) -> None:
        options = {**reading_options(settings), "group_id": settings.kafka.group}
        self._consumer = KafkaConsumer(**options)
        self._places = [
            TopicPartition(settings.topics.interactions, number)
            for number in range(settings.topics.partitions)
        ]

    def committed(self) -> dict[int, int] | None:
        """By partition, 0 where nothing was; None if the brokers do not say just now."""
        try:
            return {
                place.partition: int(self._consumer.committed(place, timeout_ms=_ANSWER_MS) or 0)
                for place in self._places
            }
        except KafkaError:
            return None

    def ends(self) -> dict[int, int] | None:
        """The input's ends by partition; None if the brokers do not say just now."""
        try:
            ends = self._consumer.end_offsets(self._places, timeout_ms=_ANSWER_MS)
        except KafkaError:
            return None
        return {place.partition: int(end) for place, end in ends.items()}

    def drained(self) -> bool:
        """Whether everything of the input is committed."""
        ends = self.ends()
        return ends is not None and self.committed() == ends

    def progress_of(self, partition: int) -> int:
        """The committed offset of a partition. Raises Fatal if the brokers do not say it."""
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            found = self.committed()
            if found is not None:
                return found[partition]
        raise Fatal(f"the brokers did not tell the group's offsets for {_PATIENCE_S:g} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._consumer.close()
