"""Which events of a batch are ranked before they are applied, and which are answered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metarec_stream.config import Settings
from metarec_stream.pipeline.accept import Accepted

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def draw_seeds(seed: int, partitions: Sequence[int], offsets: Sequence[int]) -> NDArray[np.uint64]:
    """64 random bits [n] for each event: a function of the seed and its source position.

    SplitMix64's finaliser (Steele et al. 2014) over the three numbers in turn.
    """
    bits = np.full(len(offsets), seed, np.uint64)
    for numbers in (partitions, offsets):
        bits = bits + np.asarray(numbers, np.uint64) + _GOLDEN
        bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
        bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
        bits = bits ^ (bits >> np.uint64(31))
    return bits


def sampled_events(seeds: NDArray[np.uint64], settings: Settings) -> NDArray[np.bool_]:
    """Whether each event [n] is sampled: `learn.sample` of them, fewer in a large batch."""
    count = len(seeds)
    share = min(settings.learn.sample, settings.learn.sample_per_batch / max(count, 1))
    if share >= 1.0:
        return np.ones(count, np.bool_)
    return seeds < np.uint64(int(share * 2.0**64))


def answered_events(accepted: Accepted, settings: Settings) -> NDArray[np.bool_]:
    """Whether each event [n] is answered: all, or the last of each user."""
    answered = np.full(len(accepted), settings.emit == "per_event")
    last = {
        key: number
        for number, key in enumerate(zip(accepted.partitions, accepted.users, strict=True))
    }
    answered[list(last.values())] = True
    return answered
