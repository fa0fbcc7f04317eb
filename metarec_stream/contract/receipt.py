"""The receipt of an erasure, on `metarec.receipts`: who was forgotten, and what was there."""

from __future__ import annotations

import msgspec

from metarec_stream.contract.codec import content_type_of, decode_as
from metarec_stream.contract.recommendation import SourcePosition
from metarec_stream.contract.transport import Record


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One `erase` interaction that was carried out; keyed by the user's hash."""

    user: str
    """`hash64` of the user id, 16 hexadecimal digits: the id itself is not written again."""
    source: SourcePosition
    """Where the `erase` is: what the user did in that partition before it is forgotten."""
    ts: int
    """Its record's timestamp, milliseconds."""
    interactions: int
    """Accepted interactions that the user's state had counted; 0 if there was no state."""
    remembered: int
    """Of these, those that the ring still held."""
    profile: bool
    """Whether the process also forgot a profile of the user."""
    retained: list[str]
    """Topics that may hold the user until their retention or compaction."""
    v: int = 1


def receipt_key(user: str) -> bytes:
    """The key of a receipt for the user whose hash in hexadecimal digits this is."""
    return user.encode()


def shown_hash(hashed: int) -> str:
    """A 64-bit hash as receipts have it."""
    return f"{hashed:016x}"


def decode_receipt(record: Record) -> Receipt:
    """The receipt of a record; raises Rejected for what is none."""
    return decode_as(record.value or b"", content_type_of(record.headers), Receipt)
