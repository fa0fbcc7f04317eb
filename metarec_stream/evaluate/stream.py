"""A table of events as numbers, with what each user had done before each event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.protocol import Protocol

_DEFAULT_TYPE = "click"


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
    outcome: NDArray[np.bool_]
    """[n] whether the user wanted the item: only these are predicted, scored and counted."""
    repeat: NDArray[np.bool_]
    """[n] whether an earlier event of the user was on the same item."""
    earlier: NDArray[np.int32]
    """[n] the user's earlier events."""
    previous: NDArray[np.int64]
    """[n] the user's latest earlier row on an item that was new to them then, -1 for none: a chain
    through the distinct items that the user has had."""

    def __len__(self) -> int:
        return len(self.users)

    def scored(self, protocol: Protocol) -> NDArray[np.int64]:
        """The rows that the protocol scores, ascending."""
        counts = self.outcome.copy()
        counts[: protocol.first_scored(len(self))] = False
        if protocol.repeats == "mask":
            counts &= ~self.repeat
        return np.flatnonzero(counts)


def stream_of(table: EventTable, weights: dict[str, float]) -> Stream:
    """Number a table's users and items; `weights` by interaction type say what is an outcome."""
    users, user_ids = _numbered(table.user)
    items, item_ids = _numbered(table.item)
    repeat, earlier, previous = _history(users, items, len(user_ids), len(item_ids))
    return Stream(
        user_ids=user_ids,
        item_ids=item_ids,
        users=users,
        items=items,
        outcome=_outcomes(table, weights),
        repeat=repeat,
        earlier=earlier,
        previous=previous,
    )


def _numbered(names: Sequence[str]) -> tuple[NDArray[np.int32], list[str]]:
    numbers: dict[str, int] = {}
    rows = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int32)
    return rows, list(numbers)


def _outcomes(table: EventTable, weights: dict[str, float]) -> NDArray[np.bool_]:
    if table.type is None:
        return np.full(len(table), weights[_DEFAULT_TYPE] > 0)
    return np.array([weights[kind or _DEFAULT_TYPE] > 0 for kind in table.type], np.bool_)


def _history(
    users: NDArray[np.int32], items: NDArray[np.int32], user_count: int, item_count: int
) -> tuple[NDArray[np.bool_], NDArray[np.int32], NDArray[np.int64]]:
    pairs = users.astype(np.int64) * item_count + items
    repeat = np.ones(len(users), np.bool_)
    repeat[np.unique(pairs, return_index=True)[1]] = False
    earlier = np.zeros(len(users), np.int32)
    previous = np.full(len(users), -1, np.int64)
    _walk(users, repeat, np.zeros(user_count, np.int32), np.full(user_count, -1), earlier, previous)
    return repeat, earlier, previous


@compiled
def _walk(
    users: NDArray[np.int32],
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
        events[user] += 1
        if not repeat[row]:
            newest[user] = row
