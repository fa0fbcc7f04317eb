"""Soft state, compiled: how often, how lately and by whom each item was wanted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled

NEVER = -1e9
"""Stands for the time and the event number of what has not happened."""
_RESCALE_AT = 1e12


class Popularity(NamedTuple):
    """Letters: P half-lives, N items (capacity)."""

    counts: NDArray[np.float32]
    """[P, N] decayed counts, times `scale`."""
    scale: NDArray[np.float64]
    """[P] what a count of now weighs; it grows instead of every count being decayed."""
    growth: NDArray[np.float64]
    """[P] factor of `scale` an event."""
    total: NDArray[np.float32]
    """[N] undecayed count."""
    last_event: NDArray[np.float64]
    """[N] number of the newest event on the item."""
    last_time: NDArray[np.float64]
    """[N] seconds."""
    first_time: NDArray[np.float64]
    """[N] seconds."""
    last_user: NDArray[np.int64]
    """[N] row of the user of the newest event; -1 for none."""
    events: NDArray[np.int64]
    """[1] events so far."""


def empty_popularity(items: int, half_lives: tuple[float, ...]) -> Popularity:
    """Nothing happened yet."""
    return Popularity(
        counts=np.zeros((len(half_lives), items), np.float32),
        scale=np.ones(len(half_lives)),
        growth=2.0 ** (1.0 / np.array(half_lives)),
        total=np.zeros(items, np.float32),
        last_event=np.full(items, NEVER),
        last_time=np.full(items, NEVER),
        first_time=np.full(items, NEVER),
        last_user=np.full(items, -1, np.int64),
        events=np.zeros(1, np.int64),
    )


@compiled
def count(popularity: Popularity, item: int, user: int, time_s: float) -> None:
    """Count one wanted interaction."""
    for half_life in range(popularity.scale.shape[0]):
        popularity.scale[half_life] *= popularity.growth[half_life]
        popularity.counts[half_life, item] += np.float32(popularity.scale[half_life])
        if popularity.scale[half_life] > _RESCALE_AT:
            factor = np.float32(1.0 / popularity.scale[half_life])
            for other in range(popularity.counts.shape[1]):
                popularity.counts[half_life, other] *= factor
            popularity.scale[half_life] = 1.0
    if popularity.total[item] == 0:
        popularity.first_time[item] = time_s
    popularity.total[item] += np.float32(1)
    popularity.last_event[item] = popularity.events[0]
    popularity.last_time[item] = max(popularity.last_time[item], time_s)
    popularity.last_user[item] = user
    popularity.events[0] += 1
