"""The probability of interaction of listed items, compiled: a conditional logit over candidates.

p(i) = exp(s(i) / T) / Σ_j exp(s(j) / T) over all candidates j, with their final scores: the chance
that the user's next interaction is on item i (McFadden 1974). The temperature T comes with the
version: the outer loop fits it on events before it learns them (Guo et al. 2017).

Letters: N items (capacity), k list.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.pipeline.scratch import Scratch

_LOG2_E = np.float32(math.log2(math.e))
_BIAS = np.float32(127.0)
"""Of the exponent in the bits of a float."""
_UNITS = np.float32(2.0**23)
_BEND = (np.float32(0.306968), np.float32(0.065588), np.float32(0.013556))
"""2^f = 1 + f + f (f - 1) (…) for f from 0 to 1, within 4e-6."""


class Listed(NamedTuple):
    """A list in the making."""

    item: NDArray[np.int32]
    """[k] best first."""
    score: NDArray[np.float32]
    probability: NDArray[np.float32]


def empty_listed(k: int) -> Listed:
    """Room for a list of this length."""
    return Listed(np.zeros(k, np.int32), np.zeros(k, np.float32), np.zeros(k, np.float32))


@compiled
def strength(scratch: Scratch, frontier: int, best: np.float32, temperature: np.float32) -> float:
    """Σ_j exp((s(j) - best) / T) of the candidates, at least 1 where best is the best score.

    2^x is made in the bits of a float, its exponent beside x's fraction bent by a polynomial: one
    vector instruction after the other instead of a call for every item, off by less than 2e-5.
    What is no candidate has a score so low that it adds 2^-126.
    """
    scale = _LOG2_E / temperature
    for item in range(frontier):
        power = max((scratch.scores[item] - best) * scale + _BIAS, np.float32(1))
        part = power - np.float32(np.int32(power))
        bend = part * (part - np.float32(1)) * (_BEND[0] + part * (_BEND[1] + part * _BEND[2]))
        scratch.bits[item] = np.int32((power + bend) * _UNITS)
    total = np.float32(0)
    for item in range(frontier):
        total += scratch.real[item]
    return float(total)


@compiled
def note_probabilities(
    scratch: Scratch,
    frontier: int,
    temperature: np.float32,
    scores: NDArray[np.float32],
    length: int,
    probability: NDArray[np.float32],
) -> None:
    """Fill probability [:length] for the best candidates, whose scores are given, best first."""
    if length == 0:
        return
    total = strength(scratch, frontier, scores[0], temperature)
    for place in range(length):
        probability[place] = math.exp((scores[place] - scores[0]) / temperature) / total
