"""What the pipeline asks of a log with transactions; met by Kafka and by the in-memory one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from metarec_stream.errors import Degraded

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


class Aborted(Degraded):
    """Nothing of the open transaction is or will be visible: abort it, undo, and read again."""


class Refused(Aborted):
    """The same, because the brokers refuse a record of it: sent again, it is refused again."""


class Uncertain(Degraded):
    """The commit may have gone through or not: only the committed offsets tell."""


Ends = Callable[[str], Mapping[int, int]]
"""`Transaction.ends`."""


class Source(Protocol):
    """The input's consumer: partitions of one topic, as a member of one group."""

    def poll(self, timeout_ms: int, max_records: int) -> Sequence[Record]:
        """Up to max_records new records, in order within each partition; empty after timeout_ms."""
        ...

    def group_metadata(self) -> object:
        """A generation in which the last poll's records are this member's: handed to send_offsets.

        Raises Aborted if this process fell out of the group since.
        """
        ...

    def lag(self) -> Mapping[int, int]:
        """Records between the position and the end, by assigned partition."""
        ...

    def committed(self, partition: int) -> int | None:
        """The group's committed offset once it is stable; None if it never committed one."""
        ...

    def owns(self, partition: int) -> bool:
        """Whether the partition was still this member's at the last poll."""
        ...

    def rewind(self, firsts: Mapping[int, int]) -> None:
        """Read these partitions again from their committed offsets, those that are still ours.

        `firsts`: where to go if the group has never committed an offset of the partition.
        """
        ...


class Transaction(Protocol):
    """The output's transactional producer: one open transaction at a time.

    Until the commit is asked for, each call raises Aborted where nothing can become visible any
    more; the commit raises Uncertain where that is not known. Fatal is the end.
    """

    def begin(self) -> None: ...

    def send_offsets(self, offsets: Mapping[int, int], group_metadata: object) -> None:
        """The next offset to read, by input partition, as part of the transaction."""
        ...

    def send(self, output: Output) -> None: ...
    def commit(self) -> None: ...

    def ends(self, topic: str) -> Mapping[int, int]:
        """By partition, the offset after the last record that the newest transaction has sent to
        this topic, where known; to be asked once that is committed.
        """
        ...

    def abort(self) -> None: ...

    def renew(self) -> None:
        """Begin with a new producer of the same id: what the one before had open is settled."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a partition of the input stands, for a group."""

    first: int
    """The first offset that is kept."""
    end: int
    """The one after the last."""
    committed: int | None
    """The group's committed offset; None if it never committed one."""


class History(Protocol):
    """What was written before a member came: what it needs to take partitions over.

    Nothing waits: what is not known yet is to be asked for again.
    """

    def fence(self, partitions: Sequence[int]) -> bool:
        """End the transactions that other members still have open on these partitions.

        To be called until it returns True: some are told from those of the living by time alone.
        """
        ...

    def settled(self, partition: int) -> bool:
        """Whether it is known that no transaction is open on the partition's changelog any more."""
        ...

    def place(self, partition: int) -> Place | None:
        """Of the input, once the group's offset is stable; None while it is not known."""
        ...

    def changelog(self, partition: int, first: int) -> Iterator[Sequence[Record]]:
        """From this offset to its end as of now, in order, in slices; one is empty while the next
        is not there.
        """
        ...

    def interactions(self, spans: Mapping[int, tuple[int, int]]) -> Iterator[Sequence[Record]]:
        """The input from a first offset to below another, by partition, roughly in the order of
        time, in slices; one is empty while the next is not there.
        """
        ...

    def forget(self) -> None:
        """What was asked for is not wanted any more; what is asked from now on is answered anew."""
        ...
