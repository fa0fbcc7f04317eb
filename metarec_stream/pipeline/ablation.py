"""What can be left out of the recommender, to measure what it is worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarec_stream.pipeline.features import DENSE, FEATURES, RELATED, RING

FAST_WEIGHTS, OWN_WEIGHTS, RERANKER, META = "fast-weights", "own-weights", "re-ranker", "meta"


def _named(features: tuple[str, ...], part: str) -> tuple[str, ...]:
    return tuple(name for name in features if part in name)


_FEATURES_OF = {
    "repeats": (*RING, "transition_to_owned"),
    "popularity": DENSE,
    "context": _named(DENSE, "context"),
    "transitions": _named(RELATED, "transition"),
    "cooccurrence": _named(RELATED, "cooccurrence"),
}
PARTS = (FAST_WEIGHTS, OWN_WEIGHTS, META, RERANKER, *_FEATURES_OF)
"""`fast-weights`: a user's interactions say nothing about the user (value sums and own weights of
features); `own-weights`: the latter alone; `meta`: slow weights stay those of version 0;
`re-ranker`; and groups of features, which are 0 for every item."""


def kept_features(without: frozenset[str]) -> NDArray[np.float32]:
    """[F] 1 for the features that stay, 0 for those that belong to one of these parts."""
    left_out = {name for part in without for name in _FEATURES_OF.get(part, ())}
    return np.array([name not in left_out for name in FEATURES], np.float32)
