"""The answers to events, compiled: the list, and what lifted each item of it.

Letters: A lists, k list.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.pipeline.features import DENSE, RELATED, RING
from metarec_stream.pipeline.probability import note_probabilities
from metarec_stream.pipeline.rerank import Strongest, best_first
from metarec_stream.pipeline.scratch import Scratch

WHY = ("repeat", "transition", "cooccurrence", "taste", "popular")
"""Reason codes: the group of terms that lifted the item; `popular` where none did."""
_REPEAT, _TASTE, _POPULAR = (WHY.index(reason) for reason in ("repeat", "taste", "popular"))
_REASON_OF_RELATED = np.array(
    [next(code for code, reason in enumerate(WHY) if reason in name) for name in RELATED]
)
"""[related features] the reason that a feature's name holds."""
_LEAST_REASON = 0.25
_RING_START, _RELATED_START = len(DENSE), len(DENSE) + len(RING)


class Lists(NamedTuple):
    """The answers."""

    event: NDArray[np.int64]
    """[A] number of the event in the batch."""
    length: NDArray[np.int32]
    item: NDArray[np.int32]
    """[A, k]."""
    score: NDArray[np.float32]
    probability: NDArray[np.float32]
    """[A, k] that the user's next interaction is on the item."""
    why: NDArray[np.int8]
    """[A, k, 5] places in WHY, strongest first; -1 pads."""


def empty_lists(rows: int, k: int) -> Lists:
    """Room for this many lists."""
    return Lists(
        event=np.zeros(rows, np.int64),
        length=np.zeros(rows, np.int32),
        item=np.full((rows, k), -1, np.int32),
        score=np.zeros((rows, k), np.float32),
        probability=np.zeros((rows, k), np.float32),
        why=np.full((rows, k, len(WHY)), -1, np.int8),
    )


@compiled
def _explain(
    item: int,
    taste: np.float32,
    owned: int,
    scratch: Scratch,
    lifts: NDArray[np.float32],
    why: NDArray[np.int8],
) -> None:
    """The groups of terms that lifted the item's score, strongest first."""
    lifts[:] = np.float32(0)
    lifts[_TASTE] = taste
    place = scratch.mark[item]
    if place >= 0:
        for feature in range(scratch.related.shape[0]):
            term = scratch.weights[_RELATED_START + feature] * scratch.related[feature, place]
            lifts[_REASON_OF_RELATED[feature]] += term
        if place < owned:
            for feature in range(scratch.ring.shape[1]):
                lifts[_REPEAT] += (
                    scratch.weights[_RING_START + feature] * scratch.ring[place, feature]
                )
    found = 0
    while found < lifts.shape[0]:
        strongest = np.argmax(lifts)
        if lifts[strongest] < _LEAST_REASON:
            break
        why[found] = strongest
        lifts[strongest] = np.float32(0)
        found += 1
    if found == 0:
        why[0] = _POPULAR


@compiled
def answer(
    lists: Lists,
    row: int,
    frontier: int,
    found: int,
    strongest: Strongest,
    owned: int,
    query: NDArray[np.float32],
    embedding: NDArray[np.float32],
    bias: NDArray[np.float32],
    temperature: np.float32,
    scratch: Scratch,
) -> None:
    """Write the list of the best candidates, with the probability and the reasons of each."""
    length = best_first(
        strongest, found, frontier, lists.item.shape[1], scratch, lists.item[row], lists.score[row]
    )
    lists.length[row] = length
    note_probabilities(
        scratch, frontier, temperature, lists.score[row], length, lists.probability[row]
    )
    lifts = np.zeros(lists.why.shape[2], np.float32)
    for place in range(length):
        item = lists.item[row, place]
        taste = bias[item]
        for axis in range(query.shape[0]):
            taste += query[axis] * embedding[axis, item]
        _explain(item, taste, owned, scratch, lifts, lists.why[row, place])
