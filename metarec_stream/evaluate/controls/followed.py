"""What controls of users' latest items share: those items, decayed popularity, and the choice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.evaluate.controls.choice import (
    Rank,
    best_setting,
    rank_chosen,
    rows_just_before,
)
from metarec_stream.evaluate.controls.counts import (
    DecayedCounts,
    count_outcome,
    fill_shares,
    no_counts,
)
from metarec_stream.evaluate.controls.popularity import UNCHOSEN_HALF_LIFE, best_half_life
from metarec_stream.evaluate.controls.related import POPULARITY_SHARES, put_first
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream

_SHARE_OF_FIRST_CHOICE = 0.03
"""Of popularity, while the model's own settings are chosen: one in the middle."""
_MOST_BETWEEN = 1_000
"""Events from one solution to the next, in a long stream."""
_HALF_LIVES = 10
"""Looked back on."""

Own = TypeVar("Own")


class Mixed(NamedTuple, Generic[Own]):
    """A model's own settings, and what its scores are mixed with."""

    own: Own
    popularity_half_life: float
    """In outcomes of the whole stream."""
    popularity_share: float
    """What the most popular item scores."""
    again: float
    """Share of its score that an item keeps while it is among the user's latest: 1, or 0 where
    nobody wants again what they just had."""


class Followed(NamedTuple):
    """Letters: U users, N items, R latest items."""

    recent: NDArray[np.int32]
    """[U, R] the user's latest distinct items, newest first."""
    recent_count: NDArray[np.int64]
    """[U]"""
    counts: DecayedCounts
    popularity_share: float
    again: float


def unmixed(own: Own) -> Mixed[Own]:
    """The model's own settings and a little popularity, where nothing can be chosen."""
    return Mixed(own, UNCHOSEN_HALF_LIFE, _SHARE_OF_FIRST_CHOICE, again=1.0)


def rank_mixed(
    stream: Stream,
    protocol: Protocol,
    seed: int,
    settings: Sequence[Own],
    rank: Rank[Mixed[Own]],
) -> RankedEvents:
    """The scored part under the best of a model's own settings, mixed in the best way."""

    def choose(stream: Stream, protocol: Protocol, seed: int) -> Mixed[Own]:
        return best_mixed(stream, protocol, seed, settings, rank)

    return rank_chosen(stream, protocol, seed, unmixed(settings[0]), choose, rank)


def best_mixed(
    stream: Stream,
    protocol: Protocol,
    seed: int,
    settings: Sequence[Own],
    rank: Rank[Mixed[Own]],
) -> Mixed[Own]:
    """Popularity's half-life by itself, then one after the other the rest.

    If the latest items may come again, whether they do; the model's own settings; the share of
    popularity: those of largest MRR on the rows just before the scored ones.
    """
    part = rows_just_before(stream, protocol)
    best = unmixed(settings[0])._replace(
        popularity_half_life=best_half_life(stream, protocol, seed)
    )

    def choose(among: list[Mixed[Own]]) -> Mixed[Own]:
        return best_setting(stream, protocol, among, among[0], seed, part, rank)

    if protocol.repeats == "include":
        best = choose([best, best._replace(again=0.0)])
    best = choose([best._replace(own=own) for own in settings])
    return choose([best._replace(popularity_share=share) for share in POPULARITY_SHARES])


def nobody_followed(stream: Stream, recent: int, mixed: Mixed[Own]) -> Followed:
    """Before the first event; so many `recent` items will be kept of each user."""
    users, items = len(stream.user_ids), len(stream.item_ids)
    return Followed(
        recent=np.zeros((users, recent), np.int32),
        recent_count=np.zeros(users, np.int64),
        counts=no_counts(items, mixed.popularity_half_life),
        popularity_share=mixed.popularity_share,
        again=mixed.again,
    )


def blocks_to_solve(part: slice) -> list[slice]:
    """The rows that a model goes through with one solution each, up to the part's end.

    First those before the part, where nothing is ranked; in the part, from row r on, r / 10 rows
    at a time, 1,000 at the most.
    """
    starts = [0, part.start]
    while starts[-1] < part.stop:
        starts.append(starts[-1] + min(max(starts[-1] // 10, 1), _MOST_BETWEEN))
    return [slice(start, min(stop, part.stop)) for start, stop in itertools.pairwise(starts)]


def latest_outcomes(
    stream: Stream, row: int, half_life: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """[e] rows of the outcomes before a row, oldest first, and their weights that halve with age.

    half_life: in outcomes of the whole stream. What weighs less than a thousandth is left out.
    """
    rows = np.flatnonzero(stream.outcome[:row])[-math.ceil(_HALF_LIVES * half_life) :]
    return rows, 0.5 ** (np.arange(len(rows))[::-1] / half_life)


@compiled
def fill_followed(followed: Followed, known: int, scores: NDArray[np.float64]) -> None:
    """Scores of popularity, before the model adds its own."""
    fill_shares(followed.counts, known, followed.popularity_share, scores)


@compiled
def hold_back(followed: Followed, user: int, scores: NDArray[np.float64]) -> None:
    """The user's latest items keep what they keep of their scores."""
    for rank in range(followed.recent_count[user]):
        scores[followed.recent[user, rank]] *= followed.again


@compiled
def follow(followed: Followed, user: int, item: int) -> None:
    """The user wanted the item."""
    put_first(followed.recent[user], followed.recent_count, user, item)
    count_outcome(followed.counts, item)
