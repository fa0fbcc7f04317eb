"""The re-ranker, compiled: a small network over the strongest candidates of a user.

What it says is a residual on the score: all scores are made by the cheap terms of `score`, and
only the few that can still be shown are looked at again, with all their features at once.

Letters: S strongest candidates, F features, C situation, I = F + 1 + C inputs, R hidden units.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.adapters.protocol import RERANK_SCORE_LIMIT, RERANK_SCORE_SCALE, Reranker
from metarec_stream.catalogue.popularity import Popularity
from metarec_stream.catalogue.top_k import top_k, top_k_among
from metarec_stream.compiled import compiled
from metarec_stream.pipeline.features import FEATURES
from metarec_stream.pipeline.score import (
    FLOOR,
    features_of,
)
from metarec_stream.pipeline.scratch import Scratch

_FEATURES = len(FEATURES)
_SCORE_SCALE, _SCORE_LIMIT = np.float32(RERANK_SCORE_SCALE), np.float32(RERANK_SCORE_LIMIT)


class Strongest(NamedTuple):
    """The candidates that the re-ranker looks at, best first by their score before it."""

    item: NDArray[np.int32]
    """[S]."""
    score: NDArray[np.float32]
    """[S] before the re-ranker."""
    x: NDArray[np.float32]
    """[S, F] features."""
    inputs: NDArray[np.float32]
    """[F + 1, S] features and score, by input so that a layer goes through all candidates."""
    first: NDArray[np.float32]
    """[R, S]."""
    second: NDArray[np.float32]
    """[R, S]."""
    bias: NDArray[np.float32]
    """[R] of the first layer, with what the situation adds."""
    residual: NDArray[np.float32]
    """[S]."""


def empty_strongest(candidates: int, units: int) -> Strongest:
    """Room for this many candidates and hidden units."""
    return Strongest(
        item=np.zeros(candidates, np.int32),
        score=np.zeros(candidates, np.float32),
        x=np.zeros((candidates, _FEATURES), np.float32),
        inputs=np.zeros((_FEATURES + 1, candidates), np.float32),
        first=np.zeros((units, candidates), np.float32),
        second=np.zeros((units, candidates), np.float32),
        bias=np.zeros(units, np.float32),
        residual=np.zeros(candidates, np.float32),
    )


@compiled
def _layer(
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    inputs: NDArray[np.float32],
    count: int,
    outputs: NDArray[np.float32],
) -> None:
    """max(0, bias + inputs · weights) of `count` candidates, four inputs at a time."""
    sources = inputs.shape[0]
    fours = sources - sources % 4
    for unit in range(outputs.shape[0]):
        output = outputs[unit]
        for place in range(count):
            output[place] = bias[unit]
        for source in range(0, fours, 4):
            one, two = weights[source, unit], weights[source + 1, unit]
            three, four = weights[source + 2, unit], weights[source + 3, unit]
            for place in range(count):
                output[place] += (
                    one * inputs[source, place]
                    + two * inputs[source + 1, place]
                    + three * inputs[source + 2, place]
                    + four * inputs[source + 3, place]
                )
        for source in range(fours, sources):
            for place in range(count):
                output[place] += weights[source, unit] * inputs[source, place]
        for place in range(count):
            output[place] = max(output[place], np.float32(0))


@compiled
def _residuals(
    reranker: Reranker, situation: NDArray[np.float32], count: int, strongest: Strongest
) -> None:
    """Fill strongest.residual[:count] from the features and scores of the candidates."""
    for place in range(count):
        for feature in range(_FEATURES):
            strongest.inputs[feature, place] = strongest.x[place, feature]
        score = min(max(strongest.score[place], -_SCORE_LIMIT), _SCORE_LIMIT)
        strongest.inputs[_FEATURES, place] = _SCORE_SCALE * score
    strongest.bias[:] = reranker.first_bias
    for entry in range(situation.shape[0]):
        for unit in range(strongest.bias.shape[0]):
            weight = reranker.first[_FEATURES + 1 + entry, unit]
            strongest.bias[unit] += situation[entry] * weight
    _layer(reranker.first, strongest.bias, strongest.inputs, count, strongest.first)
    _layer(reranker.second, reranker.second_bias, strongest.first, count, strongest.second)
    strongest.residual[:count] = np.float32(0)
    for unit in range(strongest.second.shape[0]):
        for place in range(count):
            strongest.residual[place] += reranker.last[unit] * strongest.second[unit, place]


@compiled
def rerank(
    reranker: Reranker,
    situation: NDArray[np.float32],
    now_s: float,
    owned: int,
    frontier: int,
    popularity: Popularity,
    scratch: Scratch,
    strongest: Strongest,
) -> int:
    """Find the strongest candidates and add the network's word to their scores; how many.

    Their features and their scores before are left in `strongest`.
    """
    count = top_k(
        scratch.scores, frontier, FLOOR, strongest.item.shape[0], strongest.item, strongest.score
    )
    for place in range(count):
        item = strongest.item[place]
        features_of(item, now_s, owned, popularity, scratch, strongest.x[place])
    share = reranker.share[0]
    if share > 0:
        _residuals(reranker, situation, count, strongest)
        for place in range(count):
            scratch.scores[strongest.item[place]] += share * strongest.residual[place]
    return int(count)


@compiled
def best_first(
    strongest: Strongest,
    found: int,
    frontier: int,
    k: int,
    scratch: Scratch,
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> int:
    """The k best candidates by their final scores, as `top_k` gives them; how many.

    The strongest that were found are enough to look at where the last of the list scores more than
    any other candidate can: no more than the last of the strongest did before the re-ranker.
    """
    size = top_k_among(strongest.item[:found], scratch.scores, FLOOR, k, items, scores)
    if found < strongest.item.shape[0]:
        return int(size)
    if size == k and scores[k - 1] > strongest.score[found - 1]:
        return int(size)
    return int(top_k(scratch.scores, frontier, FLOOR, k, items, scores))
