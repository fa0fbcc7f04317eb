"""Many decoded rows into the rings at once: a partition is restored at the speed of its decoding.

Letters: R rows, E events of all rows together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from metarec_stream.state.rings import Rings
from metarec_stream.state.row import UserRow, type_numbers_of

Integers = NDArray[np.int64]
Column = TypeVar("Column", bound=np.generic)
_NARROW_BYTES = 4


def put_rows(
    rows: Sequence[UserRow],
    rings: Rings,
    numbers: Integers,
    item_numbers: Callable[[Sequence[str]], NDArray[np.int32]],
    type_numbers: Mapping[str, int],
) -> None:
    """Write rows to these places [R] of the rings, each at most once.

    Of a longer ring than there is room for, the newest events. Raises Fatal for an interaction
    type that the settings do not know.
    """
    lengths = np.fromiter((len(row.items) for row in rows), np.int64, len(rows))
    owner = np.repeat(np.arange(len(rows)), lengths)
    place = _places(lengths)
    columns: dict[str, NDArray[Any]] = {
        "item": item_numbers(list(chain.from_iterable(row.items for row in rows))),
        "kind": _kinds(rows, owner, type_numbers),
        "time": _times(rows, lengths),
        "value": _sparse([row.values for row in rows], owner, np.dtype("<f8"), np.nan),
        "context": _sparse([row.contexts for row in rows], owner, np.dtype("<u4"), 0),
        "event": _sparse([row.events for row in rows], owner, np.dtype("<u8"), 0),
    }
    ring = rings.item.shape[1]
    fits = place < ring
    at = (numbers[owner[fits]], place[fits])
    for name, column in columns.items():
        getattr(rings, name)[at] = column[fits]
    rings.length[numbers] = np.minimum(lengths, ring)
    rings.accepted[numbers] = _scalars((row.accepted for row in rows), np.int64)
    rings.wanted[numbers] = _scalars((row.wanted for row in rows), np.int64)
    rings.repeats[numbers] = _scalars((row.repeats for row in rows), np.uint64)


def _scalars(numbers: Iterable[int], kind: type[Column]) -> NDArray[Column]:
    return np.fromiter(numbers, kind)


def _places(lengths: Integers) -> Integers:
    """[E] of each event its place in its row: 0, 1, ... of every row."""
    starts = np.cumsum(lengths) - lengths
    places: Integers = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    return places


def _kinds(
    rows: Sequence[UserRow], owner: Integers, type_numbers: Mapping[str, int]
) -> NDArray[np.int8]:
    """[E] numbers of the interaction types."""
    names = list(chain.from_iterable(row.types for row in rows))
    numbers = np.array(type_numbers_of(names, type_numbers), np.int8)
    types = np.fromiter((len(row.types) for row in rows), np.int64, len(rows))
    first = np.cumsum(types) - types
    kinds = np.frombuffer(b"".join(row.kinds for row in rows), np.uint8)
    return numbers[first[owner] + kinds] if len(kinds) else np.zeros(0, np.int8)


def _times(rows: Sequence[UserRow], lengths: Integers) -> Integers:
    """[E] event times in ms: each row's first, and then the gaps taken off one after the other."""
    newest = _scalars((row.last_ms for row in rows), np.int64)
    between = np.zeros(int(lengths.sum()), np.int64)
    follows = _places(lengths) > 0
    between[follows] = _gaps(rows, np.maximum(lengths - 1, 0))
    passed = np.cumsum(between)
    firsts = (np.cumsum(lengths) - lengths)[lengths > 0]
    since_first = passed - np.repeat(passed[firsts], lengths[lengths > 0])
    times: Integers = np.repeat(newest, lengths) - since_first
    return times


def _gaps(rows: Sequence[UserRow], counts: Integers) -> Integers:
    """Of all rows, narrow and wide ones, one after the other."""
    sizes = np.fromiter((len(row.gaps) for row in rows), np.int64, len(rows))
    wide = sizes > _NARROW_BYTES * counts
    if not wide.any():
        return np.frombuffer(b"".join(row.gaps for row in rows), "<u4").astype(np.int64)
    of_wide = np.repeat(wide, counts)
    gaps = np.zeros(len(of_wide), np.int64)
    for which, kind in ((wide, "<u8"), (~wide, "<u4")):
        parts = b"".join(rows[row].gaps for row in np.flatnonzero(which).tolist())
        gaps[np.repeat(which, counts)] = np.frombuffer(parts, kind).astype(np.int64)
    return gaps


def _sparse(
    parts: Sequence[bytes], owner: Integers, kind: np.dtype[Any], absent: float
) -> NDArray[Any]:
    """[E] a column of which rows without any entry hold no bytes."""
    column = np.full(len(owner), absent, kind)
    there = np.fromiter(map(bool, parts), np.bool_, len(parts))
    if there.any():
        column[there[owner]] = np.frombuffer(b"".join(parts), kind)
    return column
