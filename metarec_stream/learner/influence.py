"""What an event weighs in its block: by how popular its item is, and by whose it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metarec_stream.learner.events import TaskEvents
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.pipeline.features import FEATURES

_POPULARITY = FEATURES.index("popularity_5000")
_LOGARITHMS = 3.0
"""The feature is a third of the logarithm of the item's decayed count."""
_MOST = 10.0
"""By how much an item's popularity moves a weight at most, either way."""

Weights = NDArray[np.float64]


def weighed(events: TaskEvents, settings: LearnSettings) -> TaskEvents:
    """The events of a block, which together weigh what they did before."""
    if settings.popularity_weight == 0 and settings.user_share == 1:
        return events
    weights = events.weights.astype(np.float64)
    logarithm = _LOGARITHMS * events.features[:, 0, _POPULARITY].astype(np.float64)
    weights = by_popularity(weights, logarithm, settings.popularity_weight)
    weights = limited_by_user(weights, events.users, settings.user_share)
    weights *= events.weights.sum() / weights.sum()
    return replace(events, weights=weights.astype(np.float32))


def by_popularity(weights: Weights, logarithm: Weights, exponent: float) -> Weights:
    """Weights [n] times count^-exponent, which is one in the mean, and bounded.

    logarithm: [n] of the decayed count of the item that came, as of the event.
    """
    factor = np.exp(-exponent * (logarithm - logarithm.min()))
    bounded: Weights = np.clip(factor / factor.mean(), 1 / _MOST, _MOST)
    return weights * bounded


def limited_by_user(weights: Weights, users: NDArray[np.uint64], share: float) -> Weights:
    """Weights [n] above 0, of which no user [n] has more than this share; the excess is taken off.

    With fewer users than that allows for, all users weigh the same.
    """
    _, user, events = np.unique(users, return_inverse=True, return_counts=True)
    totals = np.bincount(user, weights).astype(np.float64)
    limit = _limit(np.sort(totals)[::-1], max(share, 1 / len(events)))
    return weights * np.minimum(1.0, limit / totals)[user]


def _limit(totals: Weights, share: float) -> float:
    """Largest total such that, with all above it cut down to it, it is this share of the sum.

    totals: descending. With the k largest cut to c, c = share · (k·c + rest).
    """
    for cut in range(len(totals)):
        limit = share * totals[cut:].sum() / (1 - cut * share)
        if totals[cut] <= limit * (1 + 1e-9):
            return float(max(limit, totals[cut]))
    return float(totals[-1])
