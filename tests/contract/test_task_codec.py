"""Task blocks survive the wire, and what is not one is refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_stream.contract.task import TaskBlock
from metarec_stream.contract.task_codec import decode_task_block, encode_task_block
from metarec_stream.errors import Degraded

ARRAYS = (
    "offsets",
    "event_times",
    "users",
    "weights",
    "candidates",
    "reranked",
    "log_q",
    "features",
    "window",
    "gaps",
    "situation",
    "feature_weights",
    "item_tokens",
    "profile_tokens",
)


def block(seed: int = 0, n: int = 3, m: int = 5, f: int = 4, window: int = 2) -> TaskBlock:
    """A block of random numbers over 7 items."""
    random = np.random.default_rng(seed)
    candidates = random.integers(-1, 7, (n, m), dtype=np.int32)
    candidates[:, 0] = random.integers(0, 7, n)
    return TaskBlock(
        partition=2,
        meta_version=9,
        items=[f"item-{number}" for number in range(7)],
        offsets=random.integers(0, 1 << 40, n),
        event_times=random.integers(0, 1 << 42, n),
        users=random.integers(0, 1 << 64, n, dtype=np.uint64),
        weights=random.random(n, np.float32),
        candidates=candidates,
        reranked=random.integers(0, 2, (n, m), dtype=np.uint8),
        log_q=random.standard_normal((n, m), np.float32),
        features=random.standard_normal((n, m, f), np.float32).astype(np.float16).astype("f4"),
        window=random.integers(-1, 7, (n, window), dtype=np.int32),
        gaps=random.random((n, window), np.float32),
        situation=random.random((n, 8), np.float32),
        feature_weights=random.random((n, 3, f), np.float32).astype(np.float16).astype("f4"),
        item_tokens=random.integers(-1, 9, (7, f), dtype=np.int16),
        profile_tokens=random.integers(-1, 9, (n, window), dtype=np.int16),
    )


def changed(encoded: bytes, **changes: object) -> bytes:
    """The encoded block with fields of its map replaced."""
    return msgspec.msgpack.encode({**msgspec.msgpack.decode(encoded), **changes})


@settings(deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    n=st.integers(0, 6),
    m=st.integers(1, 6),
    f=st.integers(0, 6),
    window=st.integers(0, 6),
)
def test_round_trip(seed: int, n: int, m: int, f: int, window: int) -> None:
    """Every shape, an empty block included, comes back as it went, with types and shapes."""
    sent = block(seed, n, m, f, window)
    received = decode_task_block(encode_task_block(sent))
    assert (received.partition, received.meta_version, received.items) == (2, 9, sent.items)
    for name in ARRAYS:
        expected, got = getattr(sent, name), getattr(received, name)
        assert got.dtype == expected.dtype, name
        np.testing.assert_array_equal(got, expected, err_msg=name)


def test_features_are_half_precision_and_cut_to_its_range() -> None:
    """A feature is rounded to 16 bits; one beyond their range becomes the largest there is."""
    sent = block(n=1)
    sent.features[0, 0] = [1.0001, 1e9, -1e9, 0.0]
    received = decode_task_block(encode_task_block(sent))
    assert received.features[0, 0].tolist() == [1.0, 65_504.0, -65_504.0, 0.0]


@settings(deadline=None)
@given(cut=st.integers(0, 10_000), noise=st.binary(max_size=200))
def test_other_bytes_are_refused(cut: int, noise: bytes) -> None:
    """A truncated block and any other bytes raise Degraded, nothing else."""
    encoded = encode_task_block(block())
    for value in (encoded[: cut % len(encoded)], noise, None):
        with pytest.raises(Degraded):
            decode_task_block(value)


def test_wrong_contents_are_refused() -> None:
    """Another wire version, arrays of another length or number range, a missing target."""
    encoded = encode_task_block(block())
    wire = msgspec.msgpack.decode(encoded)
    far = np.full((3, 5), 7, "<i4").tobytes()
    padded = np.full((3, 5), -1, "<i4").tobytes()
    wrong: dict[str, dict[str, object]] = {
        "wire version 4": {"v": 4},
        "has 36 bytes": {"arrays": {**wire["arrays"], "log_q": b"\0" * 36}},
        "'log_q' is missing": {
            "arrays": {name: raw for name, raw in wire["arrays"].items() if name != "log_q"}
        },
        "outside its 7 items": {"arrays": {**wire["arrays"], "candidates": far}},
        "no target": {"arrays": {**wire["arrays"], "candidates": padded}},
        "axes": {"axes": {**wire["axes"], "n": -3}},
    }
    for message, changes in wrong.items():
        with pytest.raises(Degraded, match=message):
            decode_task_block(changed(encoded, **changes))
