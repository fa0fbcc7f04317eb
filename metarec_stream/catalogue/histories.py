"""Soft state, compiled: what single users wanted, kept together, to find users who are alike.

A bounded cache: a user's row says which place the user's history has, and one who comes to
another's place takes it over. So whoever came last is there, and a millionth user costs nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.catalogue.top_k import least_of_largest
from metarec_stream.compiled import compiled

PLACES = 1 << 16
HISTORY = 128
"""Distinct items of a history; the oldest gives way."""
HOLDERS = 256
"""Histories that are looked up for an item: the latest that took it up."""
LOOKED_UP = 24
"""A user's latest items by which like ones are looked for."""
ALIKE = 100
"""Most similar histories that count."""
_FADING = 0.1
_TENANTS = (1 << 31) // PLACES
NOBODY = -1


class Histories(NamedTuple):
    """Letters: P places, H history, N items (capacity), M holders."""

    owner: NDArray[np.int64]
    """[P] row of the user; NOBODY for none."""
    tenant: NDArray[np.int32]
    """[P] how many users have had the place, so that one is not taken for the one before."""
    items: NDArray[np.int32]
    """[P, H] distinct items."""
    taken: NDArray[np.int32]
    """[P] items ever put there by the owner."""
    holder: NDArray[np.int32]
    """[N, M] place and tenant of the histories that took the item up."""
    held: NDArray[np.int64]
    """[N] how often that was."""


class Alike(NamedTuple):
    """Room to look for like users in; one for a thread."""

    similarity: NDArray[np.float32]
    """[P] 0 between two calls."""
    found: NDArray[np.int32]
    """[LOOKED_UP x M] places with any."""
    ordered: NDArray[np.float32]
    """[LOOKED_UP x M]."""


def empty_histories(items: int) -> Histories:
    """Nobody is known."""
    return Histories(
        owner=np.full(PLACES, NOBODY, np.int64),
        tenant=np.zeros(PLACES, np.int32),
        items=np.zeros((PLACES, HISTORY), np.int32),
        taken=np.zeros(PLACES, np.int32),
        holder=np.zeros((items, HOLDERS), np.int32),
        held=np.zeros(items, np.int64),
    )


def empty_alike() -> Alike:
    """Room for one search."""
    most = LOOKED_UP * HOLDERS
    return Alike(
        similarity=np.zeros(PLACES, np.float32),
        found=np.zeros(most, np.int32),
        ordered=np.zeros(most, np.float32),
    )


@compiled
def place_of(histories: Histories, user: int) -> int:
    """Where the history of the user with this row is; NOBODY if it is not there."""
    place = user % PLACES
    return place if histories.owner[place] == user else NOBODY


@compiled
def _vacate(histories: Histories, place: int) -> None:
    """Overwrite the history; its entries among the holders of items are nobody's."""
    histories.owner[place] = NOBODY
    histories.tenant[place] = (histories.tenant[place] + 1) % _TENANTS
    histories.items[place] = 0
    histories.taken[place] = 0


@compiled
def forget_histories(histories: Histories, users: NDArray[np.int64]) -> None:
    """These users are not known any more: their rows may become others'."""
    for user in users:
        place = place_of(histories, user)
        if place != NOBODY:
            _vacate(histories, place)


@compiled
def _take_up(histories: Histories, place: int, item: int) -> None:
    taken = histories.taken[place]
    for entry in range(min(taken, HISTORY)):
        if histories.items[place, entry] == item:
            return
    histories.items[place, taken % HISTORY] = item
    histories.taken[place] = taken + 1
    entry = histories.held[item] % HOLDERS
    histories.holder[item, entry] = histories.tenant[place] * PLACES + place
    histories.held[item] += 1


@compiled
def extend_history(
    histories: Histories, user: int, recent: NDArray[np.int32], recent_count: int, item: int
) -> None:
    """A user who had `recent` items, newest first, wanted `item`; who is new has those as well."""
    place = place_of(histories, user)
    if place == NOBODY:
        place = user % PLACES
        _vacate(histories, place)
        histories.owner[place] = user
        for lag in range(recent_count - 1, -1, -1):
            _take_up(histories, place, recent[lag])
    _take_up(histories, place, item)


@compiled
def find_alike(
    histories: Histories, own: int, items: NDArray[np.int32], count: int, alike: Alike
) -> int:
    """Fill in the similarity of histories with any of a user's items; how many are found.

    The cosine but for the user's own norm, which is the same for all; later items count more.
    own: the place of the user's own history, which is passed over.
    """
    found = 0
    for lag in range(min(count, LOOKED_UP)):
        weight = np.float32(math.exp(-_FADING * lag))
        item = items[lag]
        for entry in range(min(histories.held[item], HOLDERS)):
            holder = histories.holder[item, entry]
            place = holder % PLACES
            if place == own or histories.tenant[place] != holder // PLACES:
                continue
            if alike.similarity[place] == np.float32(0):
                alike.found[found] = place
                found += 1
            size = np.float32(min(histories.taken[place], HISTORY))
            alike.similarity[place] += weight / np.float32(math.sqrt(size))
    return found


@compiled
def least_alike(alike: Alike, found: int) -> float:
    """The similarity that the ALIKE most similar of those found have at least."""
    if found <= ALIKE:
        return 0.0
    for number in range(found):
        alike.ordered[number] = alike.similarity[alike.found[number]]
    return least_of_largest(alike.ordered[:found], ALIKE)
