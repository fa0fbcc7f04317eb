"""Hard state, compiled: the rings of the users' last K accepted interactions, newest first.

Letters: U users, K ring, L window. Integers and copied floats only: nothing here depends on the
machine, the batch or the meta version.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled


class Rings(NamedTuple):
    """Rings and counters, one row a user."""

    item: NDArray[np.int32]
    """[U, K] local item number."""
    kind: NDArray[np.int8]
    """[U, K] number of the interaction type."""
    value: NDArray[np.float64]
    """[U, K] the interaction's value; NaN if it had none."""
    time: NDArray[np.int64]
    """[U, K] event time, milliseconds."""
    context: NDArray[np.uint32]
    """[U, K] code of the context; 0 if there was none."""
    event: NDArray[np.uint64]
    """[U, K] hash of the event id; 0 if there was none."""
    length: NDArray[np.int32]
    """[U] entries in use."""
    accepted: NDArray[np.int64]
    """[U] interactions ever accepted."""
    wanted: NDArray[np.int64]
    """[U] of these, with a positive weight."""
    repeats: NDArray[np.uint64]
    """[U] bit l: whether the wanted interaction l steps back was of an item in the ring."""


def empty_rings(users: int, ring: int) -> Rings:
    """Rings for this many users with nothing in them."""
    return Rings(
        item=np.zeros((users, ring), np.int32),
        kind=np.zeros((users, ring), np.int8),
        value=np.full((users, ring), np.nan),
        time=np.zeros((users, ring), np.int64),
        context=np.zeros((users, ring), np.uint32),
        event=np.zeros((users, ring), np.uint64),
        length=np.zeros(users, np.int32),
        accepted=np.zeros(users, np.int64),
        wanted=np.zeros(users, np.int64),
        repeats=np.zeros(users, np.uint64),
    )


@compiled
def insert(
    rings: Rings,
    user: int,
    item: int,
    kind: int,
    value: float,
    time: int,
    context: int,
    event: int,
    weights: NDArray[np.float32],
) -> bool:
    """Put an interaction in the ring at its place in time; False if the ring is all newer.

    Of equal times the one that came later counts as newer. Counters move in any case.
    """
    count = rings.length[user]
    capacity = rings.item.shape[1]
    if weights[kind] > 0:
        repeat = np.uint64(0)
        for place in range(count):
            if rings.item[user, place] == item and weights[rings.kind[user, place]] > 0:
                repeat = np.uint64(1)
                break
        rings.repeats[user] = (rings.repeats[user] << np.uint64(1)) | repeat
        rings.wanted[user] += 1
    rings.accepted[user] += 1
    position = 0
    while position < count and rings.time[user, position] > time:
        position += 1
    if position == capacity:
        return False
    for place in range(min(count, capacity - 1), position, -1):
        rings.item[user, place] = rings.item[user, place - 1]
        rings.kind[user, place] = rings.kind[user, place - 1]
        rings.value[user, place] = rings.value[user, place - 1]
        rings.time[user, place] = rings.time[user, place - 1]
        rings.context[user, place] = rings.context[user, place - 1]
        rings.event[user, place] = rings.event[user, place - 1]
    rings.item[user, position] = item
    rings.kind[user, position] = kind
    rings.value[user, position] = value
    rings.time[user, position] = time
    rings.context[user, position] = context
    rings.event[user, position] = event
    rings.length[user] = min(count + 1, capacity)
    return True


@compiled
def window_of(
    rings: Rings,
    user: int,
    weights: NDArray[np.float32],
    items: NDArray[np.int32],
    times: NDArray[np.int64],
) -> int:
    """The user's distinct consecutive wanted items, newest first, into items and times [L].

    A run of the same item is one entry with the time of its newest. Returns how many there are.
    """
    found = 0
    previous = -1
    for place in range(rings.length[user]):
        if weights[rings.kind[user, place]] <= 0:
            continue
        item = rings.item[user, place]
        if item == previous:
            continue
        if found == items.shape[0]:
            break
        items[found] = item
        times[found] = rings.time[user, place]
        found += 1
        previous = item
    return found


@compiled
def distinct_of(
    rings: Rings,
    user: int,
    weights: NDArray[np.float32],
    mark: NDArray[np.int32],
    items: NDArray[np.int32],
    times: NDArray[np.int64],
    counts: NDArray[np.int32],
) -> int:
    """The user's distinct wanted items by recency into items, newest times and counts [K].

    `mark` is scratch, one entry an item, -1 throughout before and after.
    Returns how many there are.
    """
    found = 0
    for place in range(rings.length[user]):
        if weights[rings.kind[user, place]] <= 0:
            continue
        item = rings.item[user, place]
        known = mark[item]
        if known >= 0:
            counts[known] += 1
            continue
        mark[item] = found
        items[found] = item
        times[found] = rings.time[user, place]
        counts[found] = 1
        found += 1
    for place in range(found):
        mark[items[place]] = -1
    return found


@compiled
def rejected_of(
    rings: Rings,
    user: int,
    weights: NDArray[np.float32],
    mark: NDArray[np.int32],
    items: NDArray[np.int32],
    strength: NDArray[np.float32],
) -> int:
    """The user's items whose newest event of any weight but 0 has a negative one.

    By recency into items [K], that weight into strength [K]. `mark` is scratch, one entry an item,
    -1 throughout before and after. Returns how many there are.
    """
    found = 0
    for place in range(rings.length[user]):
        item = rings.item[user, place]
        weight = weights[rings.kind[user, place]]
        if weight == 0 or mark[item] >= 0:
            continue
        mark[item] = place
        if weight < 0:
            items[found] = item
            strength[found] = weight
            found += 1
    for place in range(rings.length[user]):
        mark[rings.item[user, place]] = -1
    return found
