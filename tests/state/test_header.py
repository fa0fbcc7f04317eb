"""The header of a partition, and the guard's segments: there and back, newer, damaged."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from metarec_stream.errors import Degraded, Fatal
from metarec_stream.state.header import (
    Header,
    decode_header,
    decode_segment,
    encode_header,
    encode_segment,
    segment_key,
)

GOLDEN = Path(__file__).parent / "golden"
HEADER = Header(
    offset=1_000, accepted=900, rejected=60, duplicates=40, watermark=1_700_000_000_000,
    first_id=5_000, next_id=9_000, users=77, segments=2, digest=bytes(range(16)),
    settings=b"settings", missing=3, damaged=True,
)  # fmt: skip


def test_headers_and_segments_of_version_1_are_read_for_ever() -> None:
    """The committed bytes, and what this release writes."""
    content = (GOLDEN / "header_1.bin").read_bytes()
    assert decode_header(content, "state/0") == HEADER
    assert encode_header(HEADER) == content
    content = (GOLDEN / "segment_1.bin").read_bytes()
    segment = decode_segment(content, "state/0")
    assert (segment.ids, segment.times) == (bytes(range(16)), bytes(range(16, 32)))
    assert encode_segment(segment.ids, segment.times) == content


def test_those_of_a_later_release_are_refused() -> None:
    """Fatal names what, where and what to do."""
    later = msgspec.msgpack.encode([2, "anything"])
    with pytest.raises(Fatal, match=r"header of state/0 has schema version 2.*later release"):
        decode_header(later, "state/0")
    with pytest.raises(Fatal, match=r"guard segment of state/0 has schema version 2"):
        decode_segment(later, "state/0")


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x80", b"\x91\x01", b"\x90"])
def test_damaged_ones_are_degraded(content: bytes) -> None:
    """Whatever the bytes."""
    with pytest.raises(Degraded, match="header of state/0 is damaged"):
        decode_header(content, "state/0")
    with pytest.raises(Degraded, match="guard segment of state/0 is damaged"):
        decode_segment(content, "state/0")


def test_columns_of_a_segment_must_fit() -> None:
    """One id has one time."""
    with pytest.raises(Degraded, match="differ in length"):
        decode_segment(encode_segment(bytes(16), bytes(8)), "state/0")


def test_the_key_of_a_segment_is_its_number() -> None:
    """In decimal digits."""
    assert segment_key(12) == b"g12"
