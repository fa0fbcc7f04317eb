"""`ials`: factors of implicit feedback by alternating least squares, users folded in (Hu 2008).

The items' factors are solved anew as events flow, from where they were; a user's are solved at
each event from their latest items, of which the newest have the most confidence.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

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
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream

FACTORS = 64
_RECENT = 40
"""Outcomes that make up a row of what is factorised, and latest items by which a user is solved."""
_SPREAD = 0.01
"""Standard deviation of the factors before the first round."""
_FIRST_ROUNDS = 15
_ROUNDS = 3
"""Alternations of a refresh."""


class Confidence(NamedTuple):
    """Settings."""

    half_life: float
    """Of an event's confidence, in outcomes of the whole stream."""
    confidence: float
    """Of an event of now; what did not happen has 1. Alpha in the package."""
    penalty: float
    """Of the squared factors."""
    fading: float
    """The user's item of rank r has the confidence times e^(-fading r)."""


SETTINGS = tuple(
    Confidence(half_life, confidence, penalty, fading)
    for half_life, confidence, penalty in (
        (100_000.0, 20.0, 100.0),
        (100_000.0, 20.0, 30.0),
        (100_000.0, 5.0, 30.0),
        (5_000.0, 20.0, 50.0),
        (5_000.0, 20.0, 15.0),
        (5_000.0, 5.0, 10.0),
    )
    for fading in (0.25, 1.0)
)


def ials(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """Rank by the products of factors; the settings are the best before the scored part."""
    return rank_mixed(stream, protocol, seed, SETTINGS, rank_by_fold_in)


def rank_by_fold_in(
    stream: Stream,
    protocol: Protocol,
    mixed: Mixed[Confidence],
    seed: int,
    part: slice,
    list_length: int = 0,
) -> RankedEvents:
    """Go through the stream up to the part's end, and rank the outcomes in the part."""
    ranking = start_ranking(stream, protocol, seed, part, list_length)
    followed = nobody_followed(stream, _RECENT, mixed)
    ahead = nobody_followed(stream, _RECENT, mixed)
    with threadpool_limits(limits=1, user_api="blas"):
        model = first_model(stream, mixed.own, seed)
        for block in blocks_to_solve(part):
            factors = refit(model, stream, block.start, mixed.own.half_life)
            users = _folded_in(model, ranking, ahead, mixed.own.fading, block)
            _rank(ranking, followed, users, factors, block.start, block.stop)
    return ranked_events(ranking)


def first_model(stream: Stream, own: Confidence, seed: int) -> AlternatingLeastSquares:
    """Factors that are drawn and near 0, before the first event."""
    model = AlternatingLeastSquares(
        factors=FACTORS,
        regularization=own.penalty,
        alpha=own.confidence,
        iterations=_FIRST_ROUNDS,
        num_threads=1,
        random_state=seed,
    )
    shape = (len(stream.item_ids), FACTORS)
    model.item_factors = np.random.default_rng(seed).normal(0, _SPREAD, shape).astype(np.float32)
    return model


def refit(
    model: AlternatingLeastSquares, stream: Stream, row: int, half_life: float
) -> NDArray[np.float32]:
    """[N, F] the items' factors from the events before a row: all 0 of those without any."""
    outcomes, confidence = latest_outcomes(stream, row, half_life)
    rows = _cut(stream.users[outcomes], len(stream.user_ids))
    if len(outcomes):
        entries = (confidence.astype(np.float32), (rows, stream.items[outcomes]))
        shape = (int(rows.max()) + 1, len(stream.item_ids))
        model.user_factors = None
        model.fit(csr_matrix(entries, shape), show_progress=False)
        model.iterations = _ROUNDS
    factors: NDArray[np.float32] = model.item_factors
    return factors


@compiled
def _cut(users: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """[e] the row that each outcome is in: a user's outcomes, _RECENT to a row."""
    current = np.zeros(count, np.int64)
    used = np.full(count, _RECENT)
    rows = np.empty(len(users), np.int64)
    started = 0
    for place in range(len(users)):
        user = users[place]
        if used[user] == _RECENT:
            current[user] = started
            used[user] = 0
            started += 1
        used[user] += 1
        rows[place] = current[user]
    return rows


def _folded_in(
    model: AlternatingLeastSquares,
    ranking: Ranking,
    ahead: Followed,
    fading: float,
    block: slice,
) -> NDArray[np.float32]:
    """[k, F] the users' factors at the k events of the block that are ranked."""
    asked = np.searchsorted(ranking.rows, (block.start, block.stop))
    rows = ranking.rows[asked[0] : asked[1]]
    ends = np.zeros(len(rows) + 1, np.int64)
    items = np.zeros(len(rows) * _RECENT, np.int32)
    confidence = np.zeros(len(items), np.float32)
    _latest(ranking, ahead, rows, block.start, block.stop, fading, ends, items, confidence)
    if not len(rows):
        return np.zeros((0, FACTORS), np.float32)
    used = slice(0, ends[-1])
    latest = csr_matrix(
        (confidence[used], items[used], ends), shape=(len(rows), len(ranking.scores))
    )
    users: NDArray[np.float32] = model.recalculate_user(np.arange(len(rows)), latest)
    return users


@compiled
def _latest(
    ranking: Ranking,
    ahead: Followed,
    rows: NDArray[np.int64],
    start: int,
    stop: int,
    fading: float,
    ends: NDArray[np.int64],
    items: NDArray[np.int32],
    confidence: NDArray[np.float32],
) -> None:
    """Fill in the users' latest items at the rows, one row after the other up to its end."""
    at = 0
    for row in range(start, stop):
        user = ranking.users[row]
        if at < len(rows) and rows[at] == row:
            end = ends[at]
            for rank in range(ahead.recent_count[user]):
                items[end + rank] = ahead.recent[user, rank]
                confidence[end + rank] = math.exp(-fading * rank)
            at += 1
            ends[at] = end + ahead.recent_count[user]
        if ranking.outcome[row]:
            follow(ahead, user, ranking.items[row])


@compiled
def _rank(
    ranking: Ranking,
    followed: Followed,
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    start: int,
    stop: int,
) -> None:
    at = 0
    for row in range(start, stop):
        user = ranking.users[row]
        if is_ranked(ranking, row):
            fill_followed(followed, ranking.known[0], ranking.scores)
            _add_products(ranking, users[at], items)
            hold_back(followed, user, ranking.scores)
            rank_event(ranking, row)
            at += 1
        appear(ranking, row)
        if ranking.outcome[row]:
            follow(followed, user, ranking.items[row])


@compiled
def _add_products(ranking: Ranking, user: NDArray[np.float32], items: NDArray[np.float32]) -> None:
    for item in range(ranking.known[0]):
        product = np.float32(0.0)
        for factor in range(len(user)):
            product += user[factor] * items[item, factor]
        ranking.scores[item] += product
