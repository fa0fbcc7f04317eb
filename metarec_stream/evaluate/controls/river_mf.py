"""`river-mf`: river's biased matrix factorisation, one step an event, against drawn negatives.

Outcomes are positive only, so each is learned beside items drawn at random that count as not
wanted, under the logistic loss (as negative sampling is done since Rendle et al. 2009).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from river.optim import SGD
from river.optim.losses import Log
from river.reco import BiasedMF

from metarec_stream.compiled import compiled
from metarec_stream.evaluate.controls.followed import (
    Followed,
    Mixed,
    fill_followed,
    follow,
    hold_back,
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

_SPREAD = 0.1
"""Standard deviation of the factors before the first step."""
_RECENT = 10
"""Latest items of a user that may be held back."""


class Steps(NamedTuple):
    """Settings of the factorisation."""

    factors: int
    rate: float
    decay: float
    negatives: int
    """Drawn for each outcome among the items that have appeared."""


SETTINGS = tuple(
    Steps(factors, rate, decay=0.01, negatives=3) for factors in (16, 64) for rate in (0.05, 0.2)
)


class Factors(NamedTuple):
    """What river's model works on in place. Letters: U users, N items, F factors."""

    users: NDArray[np.float64]
    """[U, F]"""
    items: NDArray[np.float64]
    """[N, F]"""
    user_biases: NDArray[np.float64]
    """[U]"""
    item_biases: NDArray[np.float64]
    """[N]"""


def river_mf(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """Rank by bias and product of factors; the steps are the best before the scored part."""
    return rank_mixed(stream, protocol, seed, SETTINGS, rank_by_river)


def rank_by_river(
    stream: Stream,
    protocol: Protocol,
    mixed: Mixed[Steps],
    seed: int,
    part: slice,
    list_length: int = 0,
) -> RankedEvents:
    """Go through the stream up to the part's end, and rank the outcomes in the part."""
    ranking = start_ranking(stream, protocol, seed, part, list_length)
    followed = nobody_followed(stream, _RECENT, mixed)
    generator = np.random.default_rng(seed)
    factors = first_factors(stream, mixed.own.factors, generator)
    model = river_model(factors, mixed.own)
    for row in range(part.stop):
        _rank(ranking, followed, factors, row)
        if ranking.outcome[row]:
            _learn(model, ranking, row, generator.random(mixed.own.negatives))
    return ranked_events(ranking)


def first_factors(stream: Stream, factors: int, generator: np.random.Generator) -> Factors:
    """Before the first step."""
    users, items = len(stream.user_ids), len(stream.item_ids)
    return Factors(
        users=generator.normal(0, _SPREAD, (users, factors)),
        items=generator.normal(0, _SPREAD, (items, factors)),
        user_biases=np.zeros(users),
        item_biases=np.zeros(items),
    )


def river_model(factors: Factors, steps: Steps) -> BiasedMF:
    """The model whose users and items are rows of arrays: its plain gradient steps are in place."""
    model = BiasedMF(
        n_factors=steps.factors,
        bias_optimizer=SGD(steps.rate),
        latent_optimizer=SGD(steps.rate),
        loss=Log(),
        l2_bias=steps.decay,
        l2_latent=steps.decay,
    )
    # The model has dictionaries here, of which it reads and writes only single entries.
    vars(model).update(
        u_latents=factors.users,
        i_latents=factors.items,
        u_biases=factors.user_biases,
        i_biases=factors.item_biases,
    )
    return model


def _learn(model: BiasedMF, ranking: Ranking, row: int, draws: NDArray[np.float64]) -> None:
    """The row's item, then items that are drawn among the known ones by numbers from 0 to 1."""
    user, item = int(ranking.users[row]), int(ranking.items[row])
    model.learn_one(user=user, item=item, y=1)
    for other in (draws * ranking.known[0]).astype(int):
        if other != item:
            model.learn_one(user=user, item=int(other), y=0)


@compiled
def _rank(ranking: Ranking, followed: Followed, factors: Factors, row: int) -> None:
    user = ranking.users[row]
    if is_ranked(ranking, row):
        fill_followed(followed, ranking.known[0], ranking.scores)
        _add_products(ranking.scores, ranking.known[0], factors, user)
        hold_back(followed, user, ranking.scores)
        rank_event(ranking, row)
    appear(ranking, row)
    if ranking.outcome[row]:
        follow(followed, user, ranking.items[row])


@compiled
def _add_products(scores: NDArray[np.float64], known: int, factors: Factors, user: int) -> None:
    for item in range(known):
        product = factors.item_biases[item]
        for factor in range(factors.items.shape[1]):
            product += factors.users[user, factor] * factors.items[item, factor]
        scores[item] += product
