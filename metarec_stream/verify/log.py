"""What verification asks of a log: topics with a first offset and an end that stand still."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from metarec_stream.contract.transport import Record


class Log(Protocol):
    """Topics with the same partitions, numbered alike, as a read-committed subscriber sees them."""

    @property
    def partitions(self) -> int: ...
    def committed(self, partition: int) -> int | None:
        """Where the service's group stands in the input; None if it never committed an offset."""
        ...

    def span(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset that is kept, and the one after the last."""
        ...

    def records(self, topic: str, partition: int, first: int = 0) -> Iterator[Record]:
        """In order, from an offset on."""
        ...
