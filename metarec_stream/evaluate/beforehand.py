"""What the service knows of items and users before the first event, from files of messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from metarec_stream.config import Settings
from metarec_stream.contract.codec import decode_item, decode_profile
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Fatal, Rejected
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.memory.log import MemoryRecord
from metarec_stream.settings_sources import BadConfiguration


@dataclass(frozen=True, slots=True)
class Beforehand:
    """Records as the topics `items` and `users` hold them."""

    items: Sequence[Record] = ()
    profiles: Sequence[Record] = ()


NOTHING = Beforehand()


def known_beforehand(
    items: Path | None, profiles: Path | None, protocol: Protocol, settings: Settings
) -> Beforehand:
    """The messages of two files, one in JSON a line, with the fields of the topics' messages.

    Raises Fatal for a file or a line that cannot be read, and BadConfiguration where the protocol
    has items appear with their events: who announces them makes candidates of all.
    """
    if items is not None and protocol.candidates != "all":
        raise BadConfiguration("--items announces every item at once: say --candidates all")
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
