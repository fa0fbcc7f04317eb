"""Task blocks on the wire: a MessagePack map with the arrays as raw little-endian bytes."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from metarec_stream.contract.task import MOST_TOKENS, TaskBlock
from metarec_stream.errors import Degraded

WIRE_VERSION = 3

_LARGEST_HALF = 65_504.0
_LONGEST_AXIS = 1 << 31
_LAYOUT: dict[str, tuple[str, str]] = {
    "offsets": ("<i8", "n"),
    "event_times": ("<i8", "n"),
    "users": ("<u8", "n"),
    "weights": ("<f4", "n"),
    "candidates": ("<i4", "nM"),
    "reranked": ("|u1", "nM"),
    "log_q": ("<f4", "nM"),
    "features": ("<f2", "nMF"),
    "window": ("<i4", "nL"),
    "gaps": ("<f4", "nL"),
    "situation": ("<f4", "nC"),
    "feature_weights": ("<f2", "n3F"),
    "item_tokens": ("<i2", "IK"),
    "profile_tokens": ("<i2", "nA"),
}
"""By array: its type on the wire and its axes, in the letters of `TaskBlock`; I: items, 3: 3."""
_HALF = ("features", "feature_weights")
"""Of 16 bits on the wire only."""


class _Wire(msgspec.Struct, frozen=True, kw_only=True):
    v: int
    partition: int
    meta_version: int
    items: list[str]
    axes: dict[str, int]
    """Length of each axis, by letter."""
    arrays: dict[str, bytes]


_decoder = msgspec.msgpack.Decoder(_Wire)
_encoder = msgspec.msgpack.Encoder()


def encode_task_block(block: TaskBlock) -> bytes:
    """The value of the block's record; features beyond 16-bit range are cut to it."""
    n, candidates, features = block.features.shape
    axes = {
        "n": n,
        "M": candidates,
        "F": features,
        "L": block.window.shape[1],
        "C": block.situation.shape[1],
        "I": len(block.items),
        "K": block.item_tokens.shape[1],
        "A": block.profile_tokens.shape[1],
    }
    arrays = {}
    for name, (dtype, _) in _LAYOUT.items():
        array = getattr(block, name)
        if name in _HALF:
            array = np.clip(array, -_LARGEST_HALF, _LARGEST_HALF)
        arrays[name] = np.ascontiguousarray(array, dtype=dtype).tobytes()
    return _encoder.encode(
        _Wire(
            v=WIRE_VERSION,
            partition=block.partition,
            meta_version=block.meta_version,
            items=block.items,
            axes=axes,
            arrays=arrays,
        )
    )


def decode_task_block(value: bytes | None) -> TaskBlock:
    """The block of a record's value.

    Raises Degraded for what is not a block: other bytes, another wire version, arrays whose
    lengths disagree, item numbers outside `items`, an event without the item that came.
    """
    wire = _decode_wire(value)
    arrays = {name: _array(wire, name) for name in _LAYOUT}
    _check_numbers(arrays["candidates"], len(wire.items), "candidates")
    _check_numbers(arrays["window"], len(wire.items), "window")
    for name in ("item_tokens", "profile_tokens"):
        if arrays[name].size and arrays[name].min() < -1:
            raise Degraded(f"task block refused: {name!r} has tokens below -1")
    if arrays["candidates"].size and arrays["candidates"][:, 0].min() < 0:
        raise Degraded("task block refused: an event has no target in column 0 of its candidates")
    return TaskBlock(
        partition=wire.partition, meta_version=wire.meta_version, items=wire.items, **arrays
    )


def _decode_wire(value: bytes | None) -> _Wire:
    if value is None:
        raise Degraded("task block refused: the record has no value")
    try:
        wire = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Degraded(f"task block refused: not readable ({error})") from error
    if wire.v != WIRE_VERSION:
        raise Degraded(
            f"task block refused: wire version {wire.v}, this learner reads {WIRE_VERSION}; "
            "run learner and consumers of the same release"
        )
    axes = [wire.axes.get(letter, -1) for letter in "nMFLCIKA"]
    if min(axes) < 0 or max(axes) > _LONGEST_AXIS or wire.axes["M"] < 1:
        raise Degraded(f"task block refused: axes {wire.axes}")
    if wire.axes["I"] != len(wire.items) or max(wire.axes["K"], wire.axes["A"]) > MOST_TOKENS:
        raise Degraded(f"task block refused: axes {wire.axes} with {len(wire.items)} items")
    return wire


def _array(wire: _Wire, name: str) -> NDArray[Any]:
    dtype, letters = _LAYOUT[name]
    shape = tuple(3 if letter == "3" else wire.axes[letter] for letter in letters)
    raw = wire.arrays.get(name)
    if raw is None:
        raise Degraded(f"task block refused: array {name!r} is missing")
    if len(raw) != math.prod(shape) * np.dtype(dtype).itemsize:
        raise Degraded(f"task block refused: {name!r} has {len(raw)} bytes, not shape {shape}")
    try:
        array = np.frombuffer(raw, dtype=dtype).reshape(shape)
    except ValueError as error:
        raise Degraded(f"task block refused: {name!r} of shape {shape}: {error}") from error
    native = np.float32 if name in _HALF else array.dtype.newbyteorder("=")
    return array.astype(native)


def _check_numbers(numbers: NDArray[np.int32], items: int, name: str) -> None:
    if numbers.size and (numbers.min() < -1 or numbers.max() >= items):
        raise Degraded(f"task block refused: {name!r} has item numbers outside its {items} items")
