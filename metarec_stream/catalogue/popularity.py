"""Soft state, compiled: how often, how lately, by whom and in which context each item was wanted.

An entry of the context (a referrer, a region, a device) has a slot; its values are hashed to
buckets, and each bucket has counts of its own, decayed by the bucket's events.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled

NEVER = -1e9
"""Stands for the time and the event number of what has not happened."""
_RESCALE_AT = 1e12
_BUCKET_HALF_LIFE = 1_000.0
"""Events of a bucket after which one counts half."""
NO_BUCKET = -1
"""The event does not say what the slot is for."""


class Popularity(NamedTuple):
    """Letters: P half-lives, S slots, B buckets, N items (capacity)."""

    counts: NDArray[np.float32]
    """[P, N] decayed counts, times `scale`."""
    scale: NDArray[np.float64]
    """[P] what a count of now weighs; it grows instead of every count being decayed."""
    growth: NDArray[np.float64]
    """[P] factor of `scale` an event."""
    bucket_counts: NDArray[np.float32]
    """[S, B, N] decayed counts, times `bucket_scale`."""
    bucket_scale: NDArray[np.float64]
    """[S, B]."""
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


def empty_popularity(
    items: int, half_lives: tuple[float, ...], slots: int = 0, buckets: int = 1
) -> Popularity:
    """Nothing happened yet."""
    return Popularity(
        counts=np.zeros((len(half_lives), items), np.float32),
        scale=np.ones(len(half_lives)),
        growth=2.0 ** (1.0 / np.array(half_lives)),
        bucket_counts=np.zeros((slots, buckets, items), np.float32),
        bucket_scale=np.ones((slots, buckets)),
        total=np.zeros(items, np.float32),
        last_event=np.full(items, NEVER),
        last_time=np.full(items, NEVER),
        first_time=np.full(items, NEVER),
        last_user=np.full(items, -1, np.int64),
        events=np.zeros(1, np.int64),
    )


@compiled
def _count_in_contexts(popularity: Popularity, item: int, buckets: NDArray[np.int16]) -> None:
    growth = 2.0 ** (1.0 / _BUCKET_HALF_LIFE)
    for slot in range(popularity.bucket_scale.shape[0]):
        bucket = buckets[slot]
        if bucket == NO_BUCKET:
            continue
        scale = popularity.bucket_scale[slot, bucket] * growth
        popularity.bucket_counts[slot, bucket, item] += np.float32(scale)
        if scale > _RESCALE_AT:
            popularity.bucket_counts[slot, bucket] *= np.float32(1.0 / scale)
            scale = 1.0
        popularity.bucket_scale[slot, bucket] = scale


@compiled
def count(
    popularity: Popularity, item: int, user: int, time_s: float, buckets: NDArray[np.int16]
) -> None:
    """Count one wanted interaction; `buckets` [S] are those of its context."""
    _count_in_contexts(popularity, item, buckets)
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
