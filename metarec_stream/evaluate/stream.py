"""A table of events as numbers, with what each user had done before each event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.protocol import Protocol

_DEFAULT_TYPE = "click"


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked of a table's n rows where the protocol alone does not say it."""

    asked: NDArray[np.bool_]
    """[n] rows that may be ranked; from the protocol's first scored row on they are scored."""
    negatives: NDArray[np.int64] | None = None
    """[m, k] of the m asked rows in order: rows of the table on whose items, and its own, the row
    is ranked; -1 pads. None: among all candidates."""
    parts: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """[n] rows that are reported apart, by name."""


@dataclass(frozen=True, slots=True)
class Stream:
    """n events in the order of their time.

    Users and items are numbered by first appearance, so the items of earlier events are those up
    to the largest number so far.
    """

    user_ids: list[str]
    item_ids: list[str]
    users: NDArray[np.int32]
    """[n]"""
    items: NDArray[np.int32]
    """[n]"""
    ts: NDArray[np.int64]
    """[n] milliseconds since the epoch."""
    applied: NDArray[np.bool_]
    """[n] whether the event happens at this row; where not, it is only asked for here."""
    outcome: NDArray[np.bool_]
    """[n] whether the user wants the item at this row: only these are learned."""
    asked: NDArray[np.bool_]
    """[n] whether the row may be ranked: it is of an outcome, if not learned here."""
    slates: NDArray[np.int32]
    """[m, k] items among which each asked row's own is ranked, -1 pads; k = 0: all candidates."""
    repeat: NDArray[np.bool_]
    """[n] whether an earlier event of the user was on the same item."""
    earlier: NDArray[np.int32]
    """[n] the user's earlier events."""
    previous: NDArray[np.int64]
    """[n] the user's latest earlier row on an item that was new to them then, -1 for none: a chain
    through the distinct items that the user has had."""
    parts: Mapping[str, NDArray[np.bool_]]
    """[n] rows that are reported apart, by name."""

    def __len__(self) -> int:
        return len(self.users)

    def scored(self, protocol: Protocol) -> NDArray[np.int64]:
        """The rows that the protocol scores, ascending."""
        return self.ranked(protocol, slice(protocol.first_scored(len(self)), len(self)))

    def ranked(self, protocol: Protocol, part: slice) -> NDArray[np.int64]:
        """The rows of a part that can be ranked under the protocol, ascending."""
        counts = self.asked[part].copy()
        if protocol.repeats == "mask":
            counts &= ~self.repeat[part]
        rows: NDArray[np.int64] = np.flatnonzero(counts) + part.start
        return rows

    def slates_of(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """[len(rows), k] of asked rows."""
        if not self.slates.shape[1]:
            return np.zeros((len(rows), 0), np.int32)
        return self.slates[np.searchsorted(np.flatnonzero(self.asked), rows)]


def stream_of(
    table: EventTable, weights: Mapping[str, float], questions: Questions | None = None
) -> Stream:
    """Number a table's users and items; `weights` by interaction type say what is an outcome."""
    users, user_ids = _numbered(table.user)
    items, item_ids = _numbered(table.item)
    applied = np.ones(len(table), np.bool_)
    repeat, earlier, previous = history(users, items, applied)
    outcome = _outcomes(table, weights)
    asked = outcome if questions is None else outcome & questions.asked
    return Stream(
        user_ids=user_ids,
        item_ids=item_ids,
        users=users,
        items=items,
        ts=table.ts,
        applied=applied,
        outcome=outcome,
        asked=asked,
        slates=_slates(questions, items, asked),
        repeat=repeat,
        earlier=earlier,
        previous=previous,
        parts={} if questions is None else questions.parts,
    )


def _numbered(names: Sequence[str]) -> tuple[NDArray[np.int32], list[str]]:
    numbers: dict[str, int] = {}
    rows = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int32)
    return rows, list(numbers)


def _outcomes(table: EventTable, weights: Mapping[str, float]) -> NDArray[np.bool_]:
    if table.type is None:
        return np.full(len(table), weights[_DEFAULT_TYPE] > 0)
    return np.array([weights[kind or _DEFAULT_TYPE] > 0 for kind in table.type], np.bool_)


def _slates(
    questions: Questions | None, items: NDArray[np.int32], asked: NDArray[np.bool_]
) -> NDArray[np.int32]:
    if questions is None or questions.negatives is None:
        return np.zeros((int(asked.sum()), 0), np.int32)
    negatives = questions.negatives[asked[questions.asked]]
    return np.where(negatives >= 0, items[negatives], np.int32(-1))


def history(
    users: NDArray[np.int32], items: NDArray[np.int32], applied: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.int32], NDArray[np.int64]]:
    """`repeat`, `earlier` and `previous` [n] of a stream whose events happen where `applied`."""
    rows = np.arange(len(users))
    pairs = users.astype(np.int64) * (int(items.max(initial=-1)) + 1) + items
    numbers = np.unique(pairs, return_inverse=True)[1]
    first = np.full(int(numbers.max(initial=-1)) + 1, len(rows))
    np.minimum.at(first, numbers[applied], rows[applied])
    repeat = first[numbers] < rows
    user_count = int(users.max(initial=-1)) + 1
    earlier = np.zeros(len(users), np.int32)
    previous = np.full(len(users), -1, np.int64)
    events, newest = np.zeros(user_count, np.int32), np.full(user_count, -1)
    _walk(users, applied, repeat, events, newest, earlier, previous)
    return repeat, earlier, previous


@compiled
def _walk(
    users: NDArray[np.int32],
    applied: NDArray[np.bool_],
    repeat: NDArray[np.bool_],
    events: NDArray[np.int32],
    newest: NDArray[np.int64],
    earlier: NDArray[np.int32],
    previous: NDArray[np.int64],
) -> None:
    for row in range(len(users)):
        user = users[row]
        earlier[row] = events[user]
        previous[row] = newest[user]
        if not applied[row]:
            continue
        events[user] += 1
        if not repeat[row]:
            newest[user] = row
