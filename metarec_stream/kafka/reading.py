"""One partition's records to an end that is known, with a consumer outside any group."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from kafka import KafkaConsumer, TopicPartition

from metarec_stream.contract.transport import Record

OFFSETS_LIMIT_MS = 10_000


def records_until(
    consumer: KafkaConsumer,
    place: TopicPartition,
    first: int,
    end: int,
    *,
    poll_ms: int,
    most: int,
    patience_s: float,
) -> Iterator[Sequence[Record]]:
    """Those from one offset to below another, in slices that may be empty.

    poll_ms, most: of a poll, its wait and its records. Raises KafkaError, and TimeoutError if the
    brokers hand out nothing for patience_s.
    """
    consumer.assign([place])
    consumer.seek(place, first)
    position, heard = first, time.monotonic()
    while position < end:
        polled = consumer.poll(timeout_ms=poll_ms, max_records=most)
        yield [each for each in polled.get(place, ()) if each.offset < end]
        # The position passes transaction markers, where an offset of a record would stop.
        now = int(consumer.position(place, timeout_ms=OFFSETS_LIMIT_MS) or position)
        if now > position:
            position, heard = now, time.monotonic()
        elif time.monotonic() - heard > patience_s:
            raise TimeoutError("no record came")
