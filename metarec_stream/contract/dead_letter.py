"""The dead letter: a rejected record, byte for byte, with the reason in its headers."""

from __future__ import annotations

from metarec_stream.contract.transport import Output, Record
from metarec_stream.errors import Rejected


def dead_letter(record: Record, rejected: Rejected, topic: str) -> Output:
    """The output that keeps the record's key, value and headers and says why and where from.

    Kafka's client cannot write a header without a value, nor a record with neither key nor value:
    these come out empty.
    """
    said = (
        ("metarec-reason", rejected.reason.value.encode()),
        ("metarec-detail", rejected.detail.encode()),
        ("metarec-topic", record.topic.encode()),
        ("metarec-partition", str(record.partition).encode()),
        ("metarec-offset", str(record.offset).encode()),
    )
    return Output(
        topic=topic,
        partition=record.partition,
        key=record.key,
        value=record.value,
        headers=(*record.headers, *said),
    )
