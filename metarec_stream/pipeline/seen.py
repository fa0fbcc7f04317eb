"""What each user ever had, for protocols that rank only what is new to the user.

Grows with the stream: for evaluation of files, not for the service.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.growth import grown


class Seen(NamedTuple):
    """Linked lists through all events so far."""

    head: NDArray[np.int64]
    """[n] newest entry of each event's user before the event; -1 for none. Empty: no masking."""
    item: NDArray[np.int32]
    """[entries]."""
    next: NDArray[np.int64]
    """[entries] the same user's entry before; -1 for none."""


def nothing_seen() -> Seen:
    """No masking."""
    return Seen(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64))


@compiled
def _link(
    users: NDArray[np.int64],
    applied: NDArray[np.bool_],
    newest: NDArray[np.int64],
    first_entry: int,
    heads: NDArray[np.int64],
    following: NDArray[np.int64],
) -> None:
    for number in range(users.shape[0]):
        entry = first_entry + number
        heads[number] = newest[users[number]]
        following[entry] = heads[number]
        if applied[number]:
            newest[users[number]] = entry


class SeenItems:
    """Remembers all items of all users."""

    def __init__(self) -> None:
        self._newest = np.full(1_024, -1, np.int64)
        self._item = np.zeros(1_024, np.int32)
        self._next = np.zeros(1_024, np.int64)
        self._entries = 0

    def link(
        self, users: NDArray[np.int64], items: NDArray[np.int32], applied: NDArray[np.bool_]
    ) -> Seen:
        """Add a batch's events, in order, those that happen; what each one's user had before it."""
        needed = self._entries + len(users)
        if needed > len(self._item):
            self._item = grown(self._item, 2 * needed)
            self._next = grown(self._next, 2 * needed)
        highest = int(users.max(initial=-1))
        if highest >= len(self._newest):
            self._newest = grown(self._newest, 2 * (highest + 1), -1)
        self._item[self._entries : needed] = items
        heads = np.empty(len(users), np.int64)
        _link(users, applied, self._newest, self._entries, heads, self._next)
        self._entries = needed
        return Seen(heads, self._item, self._next)
