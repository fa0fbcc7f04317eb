"""`ease`: rows of a closed-form item-item regression (Steck 2019), solved anew as events flow.

The rows of the regression are what users wanted within their last few outcomes, the newest rows
weighing most, as session-aware linear models have it (Choi et al. 2021).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.evaluate.controls.followed import (
    Followed,
    Mixed,
    blocks_to_solve,
    fill_followed,
    follow,
    hold_back,
    latest_outcomes,
    nobody_followed,
    rank_mixed,
)
from metarec_stream.evaluate.controls.ranking import (
    Ranking,
    appear,
    is_ranked,
    rank_event,
    ranked_events,
    start_ranking,
)
from metarec_stream.evaluate.controls.related import put_first
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream

MOST_ITEMS = 1_500
"""Of the regression: those wanted most of late. The cost grows with the cube of their number."""
WINDOW = 20
"""Distinct items of a user that make up a row of the regression."""
_RECENT = 50
"""Of the user's latest distinct items that are scored by: those before weigh next to nothing."""


class Regression(NamedTuple):
    """Settings."""

    half_life: float
    """Of a row's weight, in outcomes of the whole stream."""
    penalty: float
    """Of the squared weights, lambda in the paper."""
    fading: float
    """The user's item of rank r weighs e^(-fading r)."""


SETTINGS = tuple(
    Regression(half_life, penalty, fading)
    for half_life, penalty in ((100_000.0, 100.0), (100_000.0, 500.0), (5_000.0, 20.0))
    for fading in (0.1, 0.25, 1.0)
)


class ItemWeights(NamedTuple):
    """The solution for M of N items."""

    items: NDArray[np.int64]
    """[M]"""
    place: NDArray[np.int64]
    """[N] of an item among these, -1 for none."""
    weights: NDArray[np.float32]
    """[M, M] what the item of the row says of the item of the column."""


def ease(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """Rank by weighted rows of the solution; the settings are the best before the scored part."""
    return rank_mixed(stream, protocol, seed, SETTINGS, rank_by_regression)


def rank_by_regression(
    stream: Stream,
    protocol: Protocol,
    mixed: Mixed[Regression],
    seed: int,
    part: slice,
    list_length: int = 0,
) -> RankedEvents:
    """Go through the stream up to the part's end, and rank the outcomes in the part."""
    ranking = start_ranking(stream, protocol, seed, part, list_length)
    followed = nobody_followed(stream, _RECENT, mixed)
    for block in blocks_to_solve(part):
        solved = item_weights(stream, block.start, mixed.own)
        _rank(ranking, followed, solved, mixed.own.fading, block.start, block.stop)
    return ranked_events(ranking)


def item_weights(stream: Stream, row: int, regression: Regression) -> ItemWeights:
    """The solution from the events before a row."""
    rows, weights = latest_outcomes(stream, row, regression.half_life)
    wanted = np.bincount(stream.items[rows], weights, len(stream.item_ids)).astype(np.float64)
    items = np.argsort(-wanted, kind="stable")[:MOST_ITEMS]
    items = items[wanted[items] > 0]
    place = np.full(len(wanted), -1)
    place[items] = np.arange(len(items))
    gram = np.diag(wanted[items])
    recent = np.zeros((len(stream.user_ids), WINDOW), np.int32)
    _add_windows(stream.users[rows], stream.items[rows], weights, place, recent, gram)
    return ItemWeights(items, place, solution(gram, regression.penalty))


def solution(gram: NDArray[np.float64], penalty: float) -> NDArray[np.float32]:
    """[M, M] the weights of least squares with nothing on the diagonal, of M items' Gram matrix."""
    inverse = np.linalg.inv(gram + penalty * np.eye(len(gram)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights.astype(np.float32)


@compiled
def _add_windows(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    weights: NDArray[np.float64],
    place: NDArray[np.int64],
    recent: NDArray[np.int32],
    gram: NDArray[np.float64],
) -> None:
    """Add what pairs of items have in common over the windows of WINDOW items that slide by.

    Of those a pair is in, if one item came `lag` distinct ones before the other, WINDOW - lag;
    over WINDOW, as an item itself is in so many.
    """
    counts = np.zeros(len(recent), np.int64)
    window = recent.shape[1]
    for row in range(len(users)):
        user, item = users[row], items[row]
        for rank in range(min(counts[user], window - 1)):
            one, other = place[item], place[recent[user, rank]]
            if one >= 0 and other >= 0 and one != other:
                shared = weights[row] * (window - 1 - rank) / window
                gram[one, other] += shared
                gram[other, one] += shared
        put_first(recent[user], counts, user, item)


@compiled
def _rank(
    ranking: Ranking,
    followed: Followed,
    solved: ItemWeights,
    fading: float,
    start: int,
    stop: int,
) -> None:
    for row in range(start, stop):
        user = ranking.users[row]
        if is_ranked(ranking, row):
            fill_followed(followed, ranking.known[0], ranking.scores)
            for rank in range(followed.recent_count[user]):
                place = solved.place[followed.recent[user, rank]]
                if place >= 0:
                    _add_row(ranking.scores, solved, place, math.exp(-fading * rank))
            hold_back(followed, user, ranking.scores)
            rank_event(ranking, row)
        appear(ranking, row)
        if ranking.outcome[row]:
            follow(followed, user, ranking.items[row])


@compiled
def _add_row(scores: NDArray[np.float64], solved: ItemWeights, place: int, weight: float) -> None:
    for other in range(len(solved.items)):
        scores[solved.items[other]] += weight * solved.weights[place, other]
