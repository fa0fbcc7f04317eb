"""Exponentially decayed counts of items, compiled: popularity, and what other controls fall to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled

_LARGEST_WEIGHT = 1e100
"""Of a new outcome, before all counts are brought down again."""


class DecayedCounts(NamedTuple):
    """Counts grow by an ever larger weight instead of being decayed: the order is the same."""

    counted: NDArray[np.float64]
    """[N] decayed, times weight."""
    weight: NDArray[np.float64]
    """[1] what an outcome of now weighs."""
    growth: float
    """Factor of the weight an outcome."""


def no_counts(items: int, half_life: float) -> DecayedCounts:
    """Nothing is counted yet; the half-life is in outcomes of the whole stream."""
    return DecayedCounts(np.zeros(items), np.ones(1), 2.0 ** (1.0 / half_life))


@compiled
def count_outcome(counts: DecayedCounts, item: int) -> None:
    """An item was wanted."""
    counts.weight[0] *= counts.growth
    counts.counted[item] += counts.weight[0]
    if counts.weight[0] > _LARGEST_WEIGHT:
        counts.counted[:] /= counts.weight[0]
        counts.weight[0] = 1.0


@compiled
def fill_shares(
    counts: DecayedCounts, known: int, most: float, scores: NDArray[np.float64]
) -> None:
    """Scores up to `known` in proportion to the counts; the largest of them becomes `most`."""
    largest = 0.0
    for item in range(known):
        largest = max(largest, counts.counted[item])
    for item in range(known):
        scores[item] = most * counts.counted[item] / largest if largest > 0 else 0.0
