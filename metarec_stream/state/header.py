"""The header of a partition's changelog, and the segments of its guard, as bytes and back."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from metarec_stream.errors import Degraded
from metarec_stream.state.row import UNREADABLE, check_version

HEADER_VERSION = 1
SEGMENT_VERSION = 1
HEADER_KEY = b"h"
SEGMENT_KEY = b"g"
"""First byte of the key of a guard's segment; its number in decimal digits follows."""
SEGMENT_IDS = 4_096
"""Ids of a segment: a checkpoint writes anew only the segments that got ids since the last one."""


class Header(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What a partition's checkpoint says of the whole of it, version 1.

    Ids that the guard ever remembered are numbered from 0 in the order in which they came; those
    from `first_id` to below `next_id` are kept.
    """

    version: int = HEADER_VERSION
    offset: int
    """Next record of the input to apply: everything before it is in the state."""
    accepted: int
    rejected: int
    duplicates: int
    watermark: int
    """Largest accepted `ts`, -1 before there is one."""
    first_id: int
    next_id: int
    users: int
    """Rows of users."""
    segments: int
    """Segments of the guard: from `first_id // 4096` to below `next_id / 4096`, rounded up."""
    digest: bytes
    """16 bytes, little-endian: see `digest.Digest`."""
    settings: bytes
    """8 bytes: hash of the settings that hard state depends on."""
    missing: int = 0
    """Records of the input that retention took before they were applied."""
    damaged: bool = False
    """Whether rows were lost that could not be rebuilt from the input."""


class Segment(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Ids that a guard remembered, version 1: as they were appended, also if forgotten since."""

    version: int
    ids: bytes
    """uint64, little-endian: hashes of user and event id."""
    times: bytes
    """int64, little-endian: their events' `ts`."""


Stored = TypeVar("Stored", Header, Segment)


def segment_key(number: int) -> bytes:
    """The key of a segment."""
    return SEGMENT_KEY + str(number).encode()


def encode_header(header: Header) -> bytes:
    """The header's value."""
    return msgspec.msgpack.encode(header)


def encode_segment(ids: bytes, times: bytes) -> bytes:
    """The value of a segment with these columns."""
    return msgspec.msgpack.encode(Segment(SEGMENT_VERSION, ids, times))


def decode_header(value: bytes, where: str) -> Header:
    """Raises Fatal for a version of a later release, Degraded for bytes that are no header."""
    header = _decode(value, Header, HEADER_VERSION, f"the header of {where}")
    if len(header.digest) != 16 or not 0 <= header.first_id <= header.next_id < 1 << 62:
        raise Degraded(f"the header of {where} is damaged: its numbers cannot be")
    return header


def decode_segment(value: bytes, where: str) -> Segment:
    """Raises Fatal for a version of a later release, Degraded for bytes that are no segment."""
    segment = _decode(value, Segment, SEGMENT_VERSION, f"a guard segment of {where}")
    if len(segment.ids) != len(segment.times) or len(segment.ids) % 8:
        raise Degraded(f"a guard segment of {where} is damaged: its columns differ in length")
    return segment


def _decode(value: bytes, kind: type[Stored], known: int, what: str) -> Stored:
    try:
        elements = msgspec.msgpack.decode(value)
        if isinstance(elements, list) and elements and type(elements[0]) is int:
            check_version(elements[0], known, what)
        return msgspec.convert(elements, kind)
    except UNREADABLE as error:
        raise Degraded(f"{what} is damaged: {error}") from None
