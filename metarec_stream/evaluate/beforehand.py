"""What the service is told of items and users beside their events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from metarec_stream.config import Settings
from metarec_stream.contract.codec import decode_item, decode_profile, encode
from metarec_stream.contract.item import Item
from metarec_stream.contract.profile import UserProfile
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Fatal, Rejected
from metarec_stream.memory.log import MemoryRecord


@dataclass(frozen=True, slots=True)
class Beforehand:
    """Records as the topics `items` and `users` hold them; their keys are the ids.

    All profiles are told before the first event, and all items where all are candidates from the
    first event on. Where the candidates are those of earlier events, an item is told of after the
    batch of its first event: before, its message would make it a candidate.
    """

    items: Sequence[Record] = ()
    profiles: Sequence[Record] = ()


NOTHING = Beforehand()


def beforehand_of(items: Iterable[Item], profiles: Iterable[UserProfile] = ()) -> Beforehand:
    """The records of these messages."""
    return Beforehand(
        [_message("items", number, item.item, item) for number, item in enumerate(items)],
        [_message("users", number, each.user, each) for number, each in enumerate(profiles)],
    )


def _message(topic: str, number: int, key: str, message: msgspec.Struct) -> MemoryRecord:
    value, headers = encode(message, "msgpack")
    return MemoryRecord(topic, 0, number, 0, key.encode(), value, headers)


def known_beforehand(items: Path | None, profiles: Path | None, settings: Settings) -> Beforehand:
    """The messages of two files, one in JSON a line, with the fields of the topics' messages.

    Raises Fatal for a file or a line that cannot be read.
    """
    most = settings.guard.max_id_bytes

    def item_of(record: Record) -> str | None:
        item = decode_item(record, most)
        return item.item if item else None

    def user_of(record: Record) -> str | None:
        profile = decode_profile(record, most)
        return profile.user if profile else None

    return Beforehand(
        _records(items, settings.topics.items, item_of),
        _records(profiles, settings.topics.users, user_of),
    )


def _records(
    path: Path | None, topic: str, id_of: Callable[[Record], str | None]
) -> list[MemoryRecord]:
    if path is None:
        return []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise Fatal(f"{path}: cannot be read: {error.strerror}") from error
    return [_record(path, topic, number, line, id_of) for number, line in enumerate(lines) if line]


def _record(
    path: Path, topic: str, number: int, line: bytes, id_of: Callable[[Record], str | None]
) -> MemoryRecord:
    record = MemoryRecord(topic, 0, number, 0, None, line)
    try:
        found = id_of(record)
    except Rejected as rejected:
        raise Fatal(
            f"{path}, line {number + 1}: no message of the topic {topic}: {rejected.detail}"
        ) from rejected
    return MemoryRecord(topic, 0, number, 0, (found or "").encode(), line)
