"""What `markov` and `itemknn` learn alike, compiled: recent items, related items, popularity."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.catalogue.neighbours import Relations, relate
from metarec_stream.compiled import compiled
from metarec_stream.evaluate.controls.choice import Rank, best_setting, rows_just_before
from metarec_stream.evaluate.controls.counts import (
    DecayedCounts,
    count_outcome,
    fill_shares,
    no_counts,
)
from metarec_stream.evaluate.controls.popularity import UNCHOSEN_HALF_LIFE, best_half_life
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream

NEIGHBOURS = 256
"""Kept of an item: the strongest."""
RELATION_HALF_LIVES = (100_000.0, 10_000.0)
"""In outcomes of the whole stream."""
POPULARITY_SHARES = (1e-4, 0.01, 0.03, 0.1, 0.3, 1.0)
"""What the most popular item scores: the first only orders what relations leave equal."""


class Blend(NamedTuple):
    """Settings of `markov` and `itemknn`; half-lives in outcomes of the whole stream."""

    half_life: float
    popularity_half_life: float
    popularity_share: float


UNCHOSEN = Blend(RELATION_HALF_LIVES[0], UNCHOSEN_HALF_LIFE, POPULARITY_SHARES[0])


class Learned(NamedTuple):
    """Letters: U users, N items, R latest items."""

    relations: Relations
    recent: NDArray[np.int32]
    """[U, R] the user's latest distinct items, newest first."""
    recent_count: NDArray[np.int64]
    """[U]"""
    counts: DecayedCounts
    popularity_share: float
    wanted: NDArray[np.int64]
    """[N] outcomes, not decayed."""


def nothing_learned(stream: Stream, relations: Relations, recent: int, blend: Blend) -> Learned:
    """Before the first event; so many `recent` items will be kept of each user."""
    users, items = len(stream.user_ids), len(stream.item_ids)
    return Learned(
        relations=relations,
        recent=np.zeros((users, recent), np.int32),
        recent_count=np.zeros(users, np.int64),
        counts=no_counts(items, blend.popularity_half_life),
        popularity_share=blend.popularity_share,
        wanted=np.zeros(items, np.int64),
    )


def best_blend(stream: Stream, protocol: Protocol, seed: int, rank: Rank[Blend]) -> Blend:
    """Popularity's own half-life, then the other settings of largest MRR, on the rows before."""
    popularity = best_half_life(stream, protocol, seed)
    settings = [
        Blend(half_life, popularity, share)
        for half_life in RELATION_HALF_LIVES
        for share in POPULARITY_SHARES
    ]
    unchosen = UNCHOSEN._replace(popularity_half_life=popularity)
    part = rows_just_before(stream, protocol)
    return best_setting(stream, protocol, settings, unchosen, seed, part, rank)


@compiled
def fill_popularity(learned: Learned, known: int, scores: NDArray[np.float64]) -> None:
    """Scores of all items before what relations add."""
    fill_shares(learned.counts, known, learned.popularity_share, scores)


@compiled
def learn(learned: Learned, user: int, item: int) -> None:
    """The user wanted the item."""
    recent = learned.recent[user]
    count = learned.recent_count[user]
    relate(learned.relations, recent, count, item)
    count_outcome(learned.counts, item)
    learned.wanted[item] += 1
    put_first(recent, learned.recent_count, user, item)


@compiled
def put_first(recent: NDArray[np.int32], counts: NDArray[np.int64], user: int, item: int) -> None:
    """The item becomes the first of the user's `recent` ones, of which `counts` [U] are in use."""
    count = counts[user]
    place = 0
    while place < count and recent[place] != item:
        place += 1
    counts[user] = min(max(count, place + 1), len(recent))
    for later in range(min(place, len(recent) - 1), 0, -1):
        recent[later] = recent[later - 1]
    recent[0] = item
