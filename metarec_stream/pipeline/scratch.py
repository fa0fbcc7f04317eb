"""Room to score in, one for a thread: what is worked out for a user, until the next one comes.

Letters: N items (capacity), F features, K ring.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.catalogue.histories import Alike, empty_alike
from metarec_stream.catalogue.popularity import NO_BUCKET
from metarec_stream.catalogue.settings import CONTEXT_SLOTS
from metarec_stream.pipeline.features import FEATURES, RELATED, RING


class Scratch(NamedTuple):
    """Room to work in; one for a thread."""

    scores: NDArray[np.float32]
    """[N]."""
    real: NDArray[np.float32]
    """[N] and `bits` is the same memory."""
    bits: NDArray[np.int32]
    """[N]."""
    mark: NDArray[np.int32]
    """[N] place among the touched items; -1 for none, throughout between two calls."""
    touched: NDArray[np.int32]
    """[N] touched items: first those of the ring, by recency."""
    ring: NDArray[np.float32]
    """[K, ring features]."""
    related: NDArray[np.float32]
    """[related features, N]."""
    alike: Alike
    weights: NDArray[np.float32]
    """[F] θ·c + δ."""
    buckets: NDArray[np.int16]
    """[context slots] of the moment's context."""
    kept: NDArray[np.float32]
    """[F] 1; 0 for a feature that is left out to measure what it is worth."""


def empty_scratch(items: int, ring: int) -> Scratch:
    """Room for this many items and this ring."""
    real = np.zeros(items, np.float32)
    return Scratch(
        scores=np.zeros(items, np.float32),
        real=real,
        bits=real.view(np.int32),
        mark=np.full(items, -1, np.int32),
        touched=np.zeros(items, np.int32),
        ring=np.zeros((ring, len(RING)), np.float32),
        related=np.zeros((len(RELATED), items), np.float32),
        alike=empty_alike(),
        weights=np.zeros(len(FEATURES), np.float32),
        buckets=np.full(CONTEXT_SLOTS, NO_BUCKET, np.int16),
        kept=np.ones(len(FEATURES), np.float32),
    )
