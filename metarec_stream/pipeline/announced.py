"""Records of the topics `items` and `users`: what can be taken of them, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import structlog
from prometheus_client import Counter

from metarec_stream.contract.codec import decode_item, decode_profile, item_key, profile_key
from metarec_stream.contract.item import Item
from metarec_stream.contract.profile import UserProfile
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Rejected

Message = TypeVar("Message")

log = structlog.get_logger()


def announced_items(
    records: Sequence[Record], max_id_bytes: int, rejected: Counter
) -> Iterator[tuple[str, Item | None]]:
    """The id and content of each item, None of a deleted one; bad records are counted."""

    def read(record: Record) -> tuple[str, Item | None]:
        item = decode_item(record, max_id_bytes)
        return item_key(record, item, max_id_bytes), item

    return _taken(records, read, rejected, "item_rejected")


def announced_profiles(
    records: Sequence[Record], max_id_bytes: int, rejected: Counter
) -> Iterator[tuple[str, UserProfile | None]]:
    """The user and profile of each record, None of a deleted one; bad records are counted."""

    def read(record: Record) -> tuple[str, UserProfile | None]:
        profile = decode_profile(record, max_id_bytes)
        return profile_key(record, profile, max_id_bytes), profile

    return _taken(records, read, rejected, "profile_rejected")


def _taken(
    records: Sequence[Record],
    read: Callable[[Record], tuple[str, Message]],
    counter: Counter,
    event: str,
) -> Iterator[tuple[str, Message]]:
    for record in records:
        try:
            yield read(record)
        except Rejected as rejected:
            counter.labels(rejected.reason.value).inc()
            log.warning(
                event, topic=record.topic, partition=record.partition, offset=record.offset,
                reason=rejected.reason.value, detail=rejected.detail,
            )  # fmt: skip
