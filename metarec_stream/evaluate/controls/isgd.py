"""`isgd`: matrix factorisation by incremental gradient steps (Vinagre, Jorge, Gama 2014)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.evaluate.controls.choice import best_setting, rank_chosen, rows_just_before
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

_SPREAD = 0.1
"""Standard deviation of the factors before the first step."""


class Steps(NamedTuple):
    """Settings of the factorisation."""

    factors: int
    rate: float
    decay: float


SETTINGS = tuple(
    Steps(factors, rate, decay)
    for factors in (8, 32)
    for rate in (0.02, 0.05, 0.1)
    for decay in (0.01, 0.1)
)
UNCHOSEN = Steps(factors=8, rate=0.05, decay=0.01)


def isgd(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """Rank by nearness to 1 of the factors' product; the steps are the best before that."""
    return rank_chosen(stream, protocol, seed, UNCHOSEN, best_steps, rank_by_factors)


def best_steps(stream: Stream, protocol: Protocol, seed: int) -> Steps:
    """The setting of largest MRR on the rows just before the scored ones."""
    part = rows_just_before(stream, protocol)
    return best_setting(stream, protocol, SETTINGS, UNCHOSEN, seed, part, rank_by_factors)


def rank_by_factors(
    stream: Stream,
    protocol: Protocol,
    steps: Steps,
    seed: int,
    part: slice,
    list_length: int = 0,
) -> RankedEvents:
    """Go through the stream up to the part's end, and rank the outcomes in the part."""
    ranking = start_ranking(stream, protocol, seed, part, list_length)
    users, items = first_factors(stream, steps.factors, seed)
    _rank(ranking, users, items, steps.rate, steps.decay)
    return ranked_events(ranking)


def first_factors(
    stream: Stream, factors: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[U, factors] of the users and [N, factors] of the items, before the first step."""
    generator = np.random.default_rng(seed)
    users = generator.normal(0, _SPREAD, (len(stream.user_ids), factors))
    return users, generator.normal(0, _SPREAD, (len(stream.item_ids), factors))


@compiled
def _rank(
    ranking: Ranking,
    users: NDArray[np.float64],
    items: NDArray[np.float64],
    rate: float,
    decay: float,
) -> None:
    for row in range(len(ranking.users)):
        user = users[ranking.users[row]]
        if is_ranked(ranking, row):
            for item in range(ranking.known[0]):
                ranking.scores[item] = -abs(1.0 - _product(user, items[item]))
            rank_event(ranking, row)
        appear(ranking, row)
        if ranking.outcome[row]:
            _step(user, items[ranking.items[row]], rate, decay)


@compiled
def _product(user: NDArray[np.float64], item: NDArray[np.float64]) -> float:
    total = 0.0
    for factor in range(len(user)):
        total += user[factor] * item[factor]
    return total


@compiled
def _step(user: NDArray[np.float64], item: NDArray[np.float64], rate: float, decay: float) -> None:
    """Towards a product of 1: the user first, then the item with the user's new factors."""
    error = 1.0 - _product(user, item)
    for factor in range(len(user)):
        user[factor] += rate * (error * item[factor] - decay * user[factor])
        item[factor] += rate * (error * user[factor] - decay * item[factor])
