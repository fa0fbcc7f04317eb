"""Meta versions survive the wire in chunks, and only complete, verified ones come out."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.meta_version_codec import (
    VersionAssembler,
    encode_meta_version,
    parse_key,
    part_key,
    tombstones,
)
from metarec_stream.errors import Degraded


def version(number: int = 3, items: int = 40, seed: int = 0) -> MetaVersion:
    """A version of random weights."""
    random = np.random.default_rng(seed)
    return MetaVersion(
        version=number,
        parent=number - 1,
        adapter="value-sum",
        items=[f"item-{row}-é" for row in range(items)],
        parameters={
            "value": random.standard_normal((items, 6), np.float32),
            "bias": random.standard_normal(items, np.float32),
            "mixing": random.standard_normal((2, 6, 6), np.float32),
        },
        metrics={"margin": 0.25},
        task_offsets={0: 17, 3: 1 << 40},
        created_ms=1_700_000_000_000,
    )


def assemble(records: list[tuple[bytes, bytes]]) -> list[MetaVersion]:
    """What comes out when the records are fed in order."""
    assembler = VersionAssembler()
    complete = [assembler.feed(key, value) for key, value in records]
    return [out for out in complete if out is not None]


def same(one: MetaVersion, other: MetaVersion) -> bool:
    """Whether two versions are equal to the last bit."""
    return (
        (one.version, one.parent, one.adapter, one.items, one.metrics, one.task_offsets)
        == (
            other.version,
            other.parent,
            other.adapter,
            other.items,
            other.metrics,
            other.task_offsets,
        )
        and one.created_ms == other.created_ms
        and one.parameters.keys() == other.parameters.keys()
        and all(
            np.array_equal(one.parameters[name], other.parameters[name]) for name in one.parameters
        )
    )


@settings(deadline=None)
@given(
    items=st.integers(0, 50),
    chunk_bytes=st.integers(1, 5_000),
    seed=st.integers(0, 1 << 32),
)
def test_round_trip(items: int, chunk_bytes: int, seed: int) -> None:
    """Whatever the chunk size, one version comes out, at the last record, equal to the one sent."""
    sent = version(items=items, seed=seed)
    records = encode_meta_version(sent, chunk_bytes)
    assert all(len(value) <= chunk_bytes for _, value in records[:-1])
    assert assemble(records[:-1]) == []
    (received,) = assemble(records)
    assert same(received, sent)


@settings(deadline=None)
@given(st.data())
def test_a_flipped_bit_anywhere_is_refused_or_harmless(data: st.DataObject) -> None:
    """A flipped bit in a chunk is always refused; no flip anywhere changes a weight unseen."""
    sent = version()
    records = encode_meta_version(sent, 500)
    at = data.draw(st.integers(0, len(records) - 1))
    key, value = records[at]
    bit = data.draw(st.integers(0, len(value) * 8 - 1))
    broken = bytearray(value)
    broken[bit // 8] ^= 1 << bit % 8
    records[at] = (key, bytes(broken))
    try:
        (received,) = assemble(records)
    except Degraded:
        return
    assert at == len(records) - 1, "a broken chunk was taken"
    assert received.items == sent.items
    for name, array in sent.parameters.items():
        np.testing.assert_array_equal(received.parameters[name], array)


def test_a_missing_chunk_is_refused() -> None:
    """Whichever chunk is missing, the manifest is refused and says how many."""
    records = encode_meta_version(version(), 500)
    for at in range(len(records) - 1):
        with pytest.raises(Degraded, match=f"1 of its {len(records) - 1} chunks are missing"):
            assemble(records[:at] + records[at + 1 :])


def test_interleaved_versions_come_out_each() -> None:
    """The records of two versions mixed with one another give both."""
    one, two = encode_meta_version(version(1), 300), encode_meta_version(version(2, seed=5), 300)
    mixed = [record for pair in zip(one, two, strict=True) for record in pair]
    received = assemble(mixed)
    assert [out.version for out in received] == [1, 2]
    assert same(received[1], version(2, seed=5))


def test_incomplete_versions_are_bounded() -> None:
    """Of versions that never get a manifest only a few are kept, and a giant is refused."""
    assembler = VersionAssembler(incomplete=2, max_bytes=1_000)
    for number in range(50):
        assembler.feed(part_key(number, 0), b"x" * 900)
    assert assembler.held_bytes() == 1_800
    with pytest.raises(Degraded, match="more than 1000 bytes"):
        assembler.feed(part_key(49, 1), b"x" * 101)
    assert assembler.held_bytes() == 900


def test_tombstones_forget() -> None:
    """After tombstones for its chunks a version's manifest is refused; nothing else is touched."""
    assembler = VersionAssembler()
    old, new = encode_meta_version(version(1)), encode_meta_version(version(2))
    assembler.feed(*new[0])
    for key, value in [*old[:-1], *tombstones(key for key, _ in old[:-1])]:
        assert assembler.feed(key, value) is None
    with pytest.raises(Degraded, match="chunks are missing"):
        assembler.feed(*old[-1])
    received = assembler.feed(*new[-1])
    assert received is not None
    assert received.version == 2


def test_contents_that_do_not_fit_are_refused() -> None:
    """A future wire version, a manifest under another key, other shapes, weights that are NaN."""
    records = encode_meta_version(version())
    manifest = msgspec.msgpack.decode(records[-1][1])
    wrong: dict[str, dict[str, object]] = {
        "wire version 3": {"v": 3},
        "manifest names 8": {"version": 8},
        "are not the manifest's": {"shapes": {**manifest["shapes"], "bias": [41]}},
        "and 40 items are not": {"items": 39},
        "do not have the manifest's hash": {"sha256": "0" * 64},
    }
    for message, changes in wrong.items():
        with pytest.raises(Degraded, match=message):
            assemble(
                [*records[:-1], (records[-1][0], msgspec.msgpack.encode({**manifest, **changes}))]
            )
    broken = version()
    broken.parameters["bias"][7] = np.nan
    with pytest.raises(Degraded, match="'bias' is not of finite"):
        assemble(encode_meta_version(broken))


@pytest.mark.parametrize("key", [None, b"", b"3", b"3/", b"/3", b"x/1", b"3/x", b"-3/1", b"3/1/2"])
def test_a_key_of_no_version_is_refused(key: bytes | None) -> None:
    """Keys are `<version>/<chunk>` and `<version>/manifest`; no other is taken."""
    assert parse_key(b"3/manifest") == (3, "manifest")
    assert parse_key(b"12/0") == (12, 0)
    with pytest.raises(Degraded, match="names no part of a version"):
        parse_key(key)
