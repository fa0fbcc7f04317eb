"""Soft state, compiled: decayed lists of related items, for transitions and co-occurrence.

Each item has at most M neighbours; a new one takes the place of the weakest. Weights are stored
times a common scale that grows with each event, so nothing has to be decayed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled

_RESCALE_AT = 1e12
COMPANIONS = 10
"""A wanted item is counted with so many of the user's latest distinct items, near ones more."""
WIDE_COMPANIONS = 32
"""And with so many, all alike: what belongs together over a user's longer history."""
RECENT_HALF_LIFE_EVENTS = 5_000.0
"""Of the transitions that are counted a second time: what follows an item just now."""
RECENT_NEIGHBOURS = 64
"""Most followers of an item among those."""


class Neighbours(NamedTuple):
    """Letters: N items (capacity), M neighbours."""

    item: NDArray[np.int32]
    """[N, M]."""
    weight: NDArray[np.float32]
    """[N, M] decayed, times scale."""
    length: NDArray[np.int32]
    """[N] entries in use."""
    total: NDArray[np.float32]
    """[N] decayed sum of all that was added for the item, times scale."""


class Relations(NamedTuple):
    """What follows what, and what goes with what."""

    transitions: Neighbours
    cooccurrence: Neighbours
    wide_cooccurrence: Neighbours
    recent_transitions: Neighbours
    """The same transitions, sooner forgotten."""
    scale: NDArray[np.float64]
    """[2] what a count of now weighs: in the lasting lists, and among the recent transitions."""
    growth: NDArray[np.float64]
    """[2] factors of `scale` an event."""


def empty_neighbours(items: int, neighbours: int) -> Neighbours:
    """No item has neighbours."""
    return Neighbours(
        item=np.zeros((items, neighbours), np.int32),
        weight=np.zeros((items, neighbours), np.float32),
        length=np.zeros(items, np.int32),
        total=np.zeros(items, np.float32),
    )


def empty_relations(items: int, neighbours: int, half_life_events: float) -> Relations:
    """Nothing is related yet."""
    return Relations(
        transitions=empty_neighbours(items, neighbours),
        cooccurrence=empty_neighbours(items, neighbours),
        wide_cooccurrence=empty_neighbours(items, neighbours),
        recent_transitions=empty_neighbours(items, min(neighbours, RECENT_NEIGHBOURS)),
        scale=np.ones(2),
        growth=2.0 ** (1.0 / np.array([half_life_events, RECENT_HALF_LIFE_EVENTS])),
    )


@compiled
def strengthen(neighbours: Neighbours, item: int, other: int, weight: np.float32) -> None:
    """Add weight to `other` among the neighbours of `item`; where it is full, the weakest goes."""
    neighbours.total[item] += weight
    used = neighbours.length[item]
    for place in range(used):
        if neighbours.item[item, place] == other:
            neighbours.weight[item, place] += weight
            return
    if used < neighbours.item.shape[1]:
        place = used
        neighbours.length[item] = used + 1
    else:
        place = 0
        for candidate in range(1, used):
            if neighbours.weight[item, candidate] < neighbours.weight[item, place]:
                place = candidate
    neighbours.item[item, place] = other
    neighbours.weight[item, place] = weight


@compiled
def _rescale(neighbours: Neighbours, factor: np.float32) -> None:
    for item in range(neighbours.length.shape[0]):
        neighbours.total[item] *= factor
        for place in range(neighbours.length[item]):
            neighbours.weight[item, place] *= factor


@compiled
def _advance(relations: Relations) -> None:
    """One event further: a count of now weighs more than those before it."""
    for memory in range(relations.scale.shape[0]):
        relations.scale[memory] *= relations.growth[memory]
    if relations.scale[0] > _RESCALE_AT:
        factor = np.float32(1.0 / relations.scale[0])
        _rescale(relations.transitions, factor)
        _rescale(relations.cooccurrence, factor)
        _rescale(relations.wide_cooccurrence, factor)
        relations.scale[0] = 1.0
    if relations.scale[1] > _RESCALE_AT:
        _rescale(relations.recent_transitions, np.float32(1.0 / relations.scale[1]))
        relations.scale[1] = 1.0


@compiled
def relate(relations: Relations, recent: NDArray[np.int32], recent_count: int, item: int) -> None:
    """Count that a user who had `recent` items, newest first and distinct, wanted `item` next.

    A transition from the newest; co-occurrence with the nearest: 1 / lag forward, half backward;
    and with all, evenly. The item itself in `recent` is passed over; as the newest it ends the
    count.
    """
    _advance(relations)
    if recent_count == 0 or recent[0] == item:
        return
    now = np.float32(relations.scale[0])
    strengthen(relations.transitions, recent[0], item, now)
    strengthen(relations.recent_transitions, recent[0], item, np.float32(relations.scale[1]))
    for lag in range(recent_count):
        other = recent[lag]
        if other == item:
            continue
        if lag < COMPANIONS:
            weight = now / np.float32(1 + lag)
            strengthen(relations.cooccurrence, other, item, weight)
            strengthen(relations.cooccurrence, item, other, np.float32(0.5) * weight)
        strengthen(relations.wide_cooccurrence, other, item, now)
        strengthen(relations.wide_cooccurrence, item, other, now)
