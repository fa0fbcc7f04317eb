"""A dead letter read back: the record that was rejected, where it came from and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metarec_stream.contract.transport import Record
from metarec_stream.errors import Degraded, Reason

SAID = (
    "metarec-reason",
    "metarec-detail",
    "metarec-topic",
    "metarec-partition",
    "metarec-offset",
)
"""Headers that the service adds behind the record's own."""
REPLAYED_FROM = "metarec-replayed-from"
"""Header of a replayed record: topic/partition/offset of the dead letter that it was."""
REPLAYS = "metarec-replays"
"""Header of a replayed record: how often it has been replayed, this time included."""
LEARNED = b"it was accepted and is learned"
"""In the detail of a letter that stands for outputs, not for a record that was rejected."""

HeaderList = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """When it was written, ms."""
    reason: str
    detail: str
    source_topic: str
    source_partition: int
    source_offset: int
    key: bytes | None
    value: bytes | None
    headers: HeaderList
    """The rejected record's own, without what the service added."""

    @property
    def place(self) -> str:
        """Where the letter is."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def source(self) -> str:
        """Where the rejected record was."""
        return f"{self.source_topic}/{self.source_partition}/{self.source_offset}"

    @property
    def replays(self) -> int:
        """How often the record has been replayed already."""
        count = dict(self.headers).get(REPLAYS, b"0")
        return int(count) if count.isdigit() else 0

    @property
    def emptied(self) -> bool:
        """Whether it is without the record's bytes, which no letter can hold."""
        too_large = self.reason == Reason.TOO_LARGE.value
        return too_large and not self.key and not self.value and not self.headers

    @property
    def learned(self) -> bool:
        """Whether the record was accepted, and only what it led to was refused by the brokers."""
        return LEARNED in self.detail.encode()


def letter_of(record: Record) -> Letter:
    """The letter in a record of the dead letters' topic; raises Degraded if it is none of ours."""
    headers = tuple(record.headers)
    own, said = headers[: -len(SAID)], dict(headers[-len(SAID) :])
    where = f"{record.topic}/{record.partition}/{record.offset}"
    if sorted(said) != sorted(SAID):
        raise Degraded(f"{where} is no dead letter of this service: it lacks its headers")
    try:
        return Letter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp=record.timestamp,
            reason=said["metarec-reason"].decode(),
            detail=said["metarec-detail"].decode(),
            source_topic=said["metarec-topic"].decode(),
            source_partition=int(said["metarec-partition"]),
            source_offset=int(said["metarec-offset"]),
            key=record.key,
            value=record.value,
            headers=own,
        )
    except ValueError as error:
        raise Degraded(f"{where} is no dead letter of this service: {error}") from None


def content_of(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
) -> tuple[bytes | None, bytes | None, HeaderList]:
    """What of a record can be written by Kafka's client: a header without a value comes out
    empty, and so does the value of a record with neither key nor value.
    """
    written = b"" if key is None and value is None else value
    return key, written, tuple((name, content or b"") for name, content in headers)
