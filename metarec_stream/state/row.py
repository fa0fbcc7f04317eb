"""One user's hard state as bytes, and back: the rows of the changelog.

A row is a MessagePack array whose first element is the version of its schema. It names items and
interaction types by their ids: numbers are a process's own. The bytes are a pure function of the
records that were applied to the user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from metarec_stream.errors import Degraded, Fatal
from metarec_stream.state.rings import Rings

ROW_VERSION = 1
USER_KEY = b"u"
"""First byte of the key of a user's row; the user id follows."""

UPGRADES: dict[int, Callable[[list[Any]], list[Any]]] = {}
"""By an older version: from its elements to those of the version after it."""

_NARROW_GAP = 1 << 32


class UserRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A user's row, version 1. Columns hold the ring, newest event first, little-endian."""

    version: int
    upto: int
    """Offset of the last record that was applied to the user."""
    last_ms: int
    """Event time of the newest event in the ring."""
    accepted: int
    """Interactions ever accepted."""
    wanted: int
    """Of these, with a positive weight."""
    repeats: int
    """64 bits, see `rings.Rings.repeats`."""
    items: list[str]
    types: list[str]
    """The interaction types that occur, in the order of their first occurrence."""
    kinds: bytes
    """uint8: place in `types`."""
    gaps: bytes
    """uint32, or uint64 if one is over 49 days: ms from each event to the one before it in time."""
    values: bytes
    """float64, NaN for none; empty if no event has a value."""
    contexts: bytes
    """uint32 codes; empty if no event has a context."""
    events: bytes
    """uint64 hashes of event ids; empty if no event has one."""


class _RowStart(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How a row of every version begins; what follows is not looked at."""

    version: int
    upto: int
    last_ms: int


UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)
"""What msgspec raises for bytes that do not hold what they should."""
_DECODER = msgspec.msgpack.Decoder(UserRow)
_START_DECODER = msgspec.msgpack.Decoder(_RowStart)
_ENCODER = msgspec.msgpack.Encoder()


def user_key(user: str) -> bytes:
    """The key of a user's row."""
    return USER_KEY + user.encode()


def encode_rows(
    rings: Rings,
    rows: NDArray[np.int64],
    upto: NDArray[np.int64],
    item_ids: Sequence[str],
    type_names: Sequence[str],
) -> list[bytes]:
    """The bytes of these rows of the rings, in order; `upto` [rows] is each user's own."""
    lengths = rings.length[rows]
    columns = _Columns(rings, rows, lengths)
    numbers = rings.item[rows, : columns.width].tolist()
    scalars = zip(
        lengths.tolist(), upto.tolist(), rings.time[rows, 0].tolist(),
        rings.accepted[rows].tolist(), rings.wanted[rows].tolist(), rings.repeats[rows].tolist(),
        strict=True,
    )  # fmt: skip
    encoded = []
    for place, (length, offset, last_ms, accepted, wanted, repeats) in enumerate(scalars):
        kinds = columns.kinds(place, length)
        present = bytes(dict.fromkeys(kinds))
        encoded.append(
            _ENCODER.encode(
                UserRow(
                    version=ROW_VERSION,
                    upto=offset,
                    last_ms=last_ms if length else 0,
                    accepted=accepted,
                    wanted=wanted,
                    repeats=repeats,
                    items=[item_ids[number] for number in numbers[place][:length]],
                    types=[type_names[kind] for kind in present],
                    kinds=kinds.translate(_places(present)),
                    gaps=columns.gaps(place, length),
                    values=columns.values(place, length),
                    contexts=columns.contexts(place, length),
                    events=columns.events(place, length),
                )
            )
        )
    return encoded


def decode_row(value: bytes, where: str) -> UserRow:
    """A row, upgraded from an older version where it is one.

    `where` names the row in errors. Raises Fatal for a version newer than this release knows,
    Degraded for bytes that are no row.
    """
    try:
        row = _DECODER.decode(value)
    except UNREADABLE:
        row = None
    if row is None or row.version != ROW_VERSION:
        row = _older(value, where)
    if not _whole(row):
        raise Degraded(f"the row of {where} is damaged: its columns differ in length")
    return row


def last_ms_of(value: bytes) -> int:
    """Event time of the newest event in a row's ring, without decoding all of it."""
    return _START_DECODER.decode(value).last_ms


def type_numbers_of(names: Sequence[str], numbers: Mapping[str, int]) -> list[int]:
    """The numbers of interaction types; raises Fatal for one that the settings do not know."""
    for name in names:
        if name not in numbers:
            raise Fatal(
                f"the state holds events of type {name!r}, which the settings no longer know: put "
                "it back into METAREC_EVENTS__WEIGHTS (weight 0 leaves it out of ranking) and "
                "start again"
            )
    return [numbers[name] for name in names]


class _Columns:
    """The rings' columns of some rows as little-endian bytes, to be cut."""

    def __init__(self, rings: Rings, rows: NDArray[np.int64], lengths: NDArray[np.int32]) -> None:
        self.width = max(int(lengths.max(initial=0)), 1)
        """Of the longest row: most rings are far from full."""
        used = np.arange(self.width) < lengths[:, None]
        value, context, event = (
            column[rows, : self.width] for column in (rings.value, rings.context, rings.event)
        )
        between = np.diff(-rings.time[rows, : self.width], axis=1)
        self._wide = _any_of((between >= _NARROW_GAP) & used[:, 1:])
        self._valued = _any_of(~np.isnan(value) & used)
        self._in_context = _any_of((context != 0) & used)
        self._named = _any_of((event != 0) & used)
        self._kind = rings.kind[rows, : self.width].tobytes()
        self._narrow_gap = between.astype("<u4").tobytes()
        self._wide_gap = between.astype("<u8").tobytes() if any(self._wide) else b""
        self._value = value.astype("<f8").tobytes()
        self._context = context.astype("<u4").tobytes()
        self._event = event.astype("<u8").tobytes()

    def kinds(self, place: int, length: int) -> bytes:
        return self._cut(self._kind, place, length, 1)

    def gaps(self, place: int, length: int) -> bytes:
        column, width = (self._wide_gap, 8) if self._wide[place] else (self._narrow_gap, 4)
        start = place * (self.width - 1) * width
        return column[start : start + max(0, length - 1) * width]

    def values(self, place: int, length: int) -> bytes:
        return self._cut(self._value, place, length, 8) if self._valued[place] else b""

    def contexts(self, place: int, length: int) -> bytes:
        return self._cut(self._context, place, length, 4) if self._in_context[place] else b""

    def events(self, place: int, length: int) -> bytes:
        return self._cut(self._event, place, length, 8) if self._named[place] else b""

    def _cut(self, column: bytes, place: int, length: int, width: int) -> bytes:
        start = place * self.width * width
        return column[start : start + length * width]


def _any_of(entries: NDArray[np.bool_]) -> list[bool]:
    """By row, whether any entry is True."""
    return list(np.atleast_1d(entries.any(axis=1)).tolist())


@lru_cache(maxsize=4_096)
def _places(present: bytes) -> bytes:
    """The table that `bytes.translate` takes: from a type's number to its place in `present`."""
    table = bytearray(256)
    for place, kind in enumerate(present):
        table[kind] = place
    return bytes(table)


def _older(value: bytes, where: str) -> UserRow:
    """The row of another version; raises as `decode_row` does."""
    try:
        elements = msgspec.msgpack.decode(value)
    except UNREADABLE as error:
        raise Degraded(f"the row of {where} is damaged: {error}") from None
    if not isinstance(elements, list) or not elements or type(elements[0]) is not int:
        raise Degraded(f"the row of {where} is damaged: it does not begin with its version")
    check_version(elements[0], ROW_VERSION, f"the row of {where}")
    while elements[0] in UPGRADES:
        elements = UPGRADES[elements[0]](elements)
    try:
        row = msgspec.convert(elements, UserRow)
    except msgspec.ValidationError as error:
        raise Degraded(f"the row of {where} is damaged: {error}") from None
    if row.version != ROW_VERSION:
        raise Degraded(f"the row of {where} is damaged: there was no version {row.version}")
    return row


def check_version(found: int, known: int, what: str) -> None:
    """Raise Fatal for a version of the state's schema that a later release wrote."""
    if found > known:
        raise Fatal(
            f"{what} has schema version {found}, and this release knows versions up to {known}: it "
            "was written by a later release; start that release again, or a newer one"
        )


def _whole(row: UserRow) -> bool:
    """Whether the columns have as many entries as there are items, and types for them."""
    count = len(row.items)
    gaps = max(0, count - 1)
    return (
        len(row.kinds) == count
        and (not count or max(row.kinds) < len(row.types))
        and len(row.gaps) in (4 * gaps, 8 * gaps)
        and len(row.values) in (0, 8 * count)
        and len(row.contexts) in (0, 4 * count)
        and len(row.events) in (0, 8 * count)
        and 0 <= row.repeats < 1 << 64
        and abs(row.last_ms) < 1 << 62
        and max(row.accepted, row.wanted, abs(row.upto)) < 1 << 62
    )
