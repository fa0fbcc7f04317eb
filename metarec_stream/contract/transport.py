"""What the pipeline asks of a log with transactions; met by Kafka and by the in-memory one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Headers = Sequence[tuple[str, bytes]]


class Record(Protocol):
    """One record of a log, as a source hands it out (a kafka-python ConsumerRecord is one)."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch; -1 if unknown."""
        ...

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


@dataclass(frozen=True, slots=True)
class Output:
    """A record to be sent to a partition of a topic."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Source(Protocol):
    """The input's consumer: partitions of one topic, as a member of one group."""

    def poll(self, timeout_ms: int, max_records: int) -> Sequence[Record]:
        """Up to max_records new records, in order within each partition; empty after timeout_ms."""
        ...

    def group_metadata(self) -> object:
        """The generation that the last poll's records belong to: handed to send_offsets."""
        ...

    def lag(self) -> Mapping[int, int]:
        """Records between the position and the end, by assigned partition."""
        ...


class Transaction(Protocol):
    """The output's transactional producer: one open transaction at a time."""

    def begin(self) -> None: ...

    def send_offsets(self, offsets: Mapping[int, int], group_metadata: object) -> None:
        """The next offset to read, by input partition, as part of the transaction."""
        ...

    def send(self, output: Output) -> None: ...
    def commit(self) -> None: ...
    def abort(self) -> None: ...
