"""Users' outcomes as sequences: what is known at each row, cut into batches of windows.

Letters: n rows of a stream, U users, W windows, L places of the longest, m rows asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.evaluate.stream import Stream

TARGETS = 32
"""Places of a window that are predicted at most."""
CONTEXT = 32
"""Places before them that are only read."""
WINDOW = CONTEXT + TARGETS
"""Places of a window: a prediction sees at least CONTEXT of the user's latest outcomes."""
_WIDTHS = 8
"""Windows whose widths differ by less may share a batch: the rest would be padding."""


class Batch(NamedTuple):
    """Windows, and the m rows whose item is predicted from a place of them."""

    inputs: NDArray[np.int64]
    """[W, L] items in the order of time; the number of items stands for a user's beginning, and
    for the padding behind the last place."""
    window: NDArray[np.int64]
    """[m]"""
    column: NDArray[np.int64]
    """[m] the last place that is known as of the row."""
    rows: NDArray[np.int64]
    """[m]"""


@dataclass(frozen=True, slots=True)
class Histories:
    """All users' outcomes one after the other, each user's behind a beginning."""

    inputs: NDArray[np.int64]
    """[outcomes + U]"""
    begin: NDArray[np.int64]
    """[U] place of the user's beginning."""
    place: NDArray[np.int64]
    """[n] the place that is the newest known to the row's user before the row."""
    users: NDArray[np.int32]
    """[n]"""


def histories_of(stream: Stream) -> Histories:
    """The sequences of a stream; an outcome is known from the row after it on."""
    by_user = np.argsort(stream.users, kind="stable")
    outcome = stream.outcome[by_user].astype(np.int64)
    place = np.empty(len(stream), np.int64)
    place[by_user] = np.cumsum(outcome) - outcome + stream.users[by_user]
    begin = np.zeros(len(stream.user_ids), np.int64)
    begin[stream.users[::-1]] = place[::-1]
    total = int(outcome.sum()) + len(stream.user_ids)
    inputs = np.full(total, len(stream.item_ids), np.int64)
    inputs[place[stream.outcome] + 1] = stream.items[stream.outcome]
    return Histories(inputs, begin, place, stream.users)


def batches(
    histories: Histories,
    rows: NDArray[np.int64],
    size: int,
    generator: np.random.Generator | None = None,
) -> Iterator[Batch]:
    """Cover the rows by batches of about `size` rows; in random order if there is a generator."""
    rows = rows[np.argsort(histories.place[rows], kind="stable")]
    first, last = _windows(histories, rows)
    begin = np.maximum(
        histories.begin[histories.users[rows[first]]], histories.place[rows[first]] - CONTEXT
    )
    width = histories.place[rows[last - 1]] - begin + 1
    order = np.arange(len(first)) if generator is None else generator.permutation(len(first))
    order = order[np.argsort(width[order] // _WIDTHS, kind="stable")]
    cuts = np.flatnonzero(np.diff(np.cumsum((last - first)[order]) // size)) + 1
    groups = [group for group in np.split(order, cuts) if len(group)]
    if generator is not None:
        generator.shuffle(groups)
    for group in groups:
        inputs = _inputs(histories, begin[group], width[group])
        window, members = _members(first[group], last[group])
        column = histories.place[rows[members]] - begin[group][window]
        yield Batch(inputs, window, column, rows[members])


def _windows(
    histories: Histories, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[W] first row and the one behind the last of each window, among rows sorted by place."""
    if not len(rows):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    place, users = histories.place[rows], histories.users[rows]
    new_user = np.r_[True, users[1:] != users[:-1]]
    since = place - place[new_user][np.cumsum(new_user) - 1]
    part = since // TARGETS
    first = np.flatnonzero(new_user | np.r_[True, part[1:] != part[:-1]])
    return first, np.r_[first[1:], len(rows)]


def _inputs(
    histories: Histories, begin: NDArray[np.int64], width: NDArray[np.int64]
) -> NDArray[np.int64]:
    columns = np.arange(width.max())
    places = begin[:, None] + np.minimum(columns, width[:, None] - 1)
    padding = histories.inputs[histories.begin[0]]
    return np.where(columns < width[:, None], histories.inputs[places], padding)


def _members(
    first: NDArray[np.int64], last: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[m] the window of each member, and its number from `first` to before `last` of it."""
    count = last - first
    window = np.repeat(np.arange(len(first)), count)
    return window, np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)


def owned_before(stream: Stream, rows: NDArray[np.int64], items: int) -> NDArray[np.bool_]:
    """[m, items] which items the user of each row had before it."""
    owned = np.zeros((len(rows), items), np.bool_)
    _mark_owned(stream.previous, stream.items, rows, owned)
    return owned


@compiled
def _mark_owned(
    previous: NDArray[np.int64],
    items: NDArray[np.int32],
    rows: NDArray[np.int64],
    owned: NDArray[np.bool_],
) -> None:
    for at in range(len(rows)):
        past = previous[rows[at]]
        while past >= 0:
            owned[at, items[past]] = True
            past = previous[past]
