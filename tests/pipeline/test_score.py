"""Scores, and the features that the learner is told they were made of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from metarec_stream.catalogue.histories import empty_histories, extend_history
from metarec_stream.catalogue.items import Items, make_known
from metarec_stream.catalogue.neighbours import empty_relations, relate
from metarec_stream.catalogue.popularity import NO_BUCKET, count, empty_popularity
from metarec_stream.catalogue.soft_state import Soft
from metarec_stream.pipeline.features import FEATURES, POPULARITY_HALF_LIVES, SITUATION
from metarec_stream.pipeline.score import (
    clear_touched,
    features_of,
    score_items,
)
from metarec_stream.pipeline.scratch import Scratch, empty_scratch
from metarec_stream.pipeline.snapshots import Snapshots, empty_snapshots

ITEMS, RING, DIMENSIONS, NOW_S = 30, 8, 6, 1_700_000_000
OWNED = [3, 7, 11]
"""The user's distinct items, newest first, gone back 30 s, 2 h and 3 days."""
OWN_WEIGHTS = np.random.default_rng(3).normal(size=len(FEATURES)).astype(np.float32)
GAPS_S = [30, 7_200, 3 * 86_400]


def soft_state() -> Soft:
    """A hundred wanted interactions of many users; the last one on item 3 is user 5's."""
    draw = np.random.default_rng(0)
    items = Items()
    items.announce([f"i{number}" for number in range(ITEMS)])
    popularity = empty_popularity(items.capacity, POPULARITY_HALF_LIVES, slots=2, buckets=3)
    relations = empty_relations(items.capacity, 16, 1_000.0)
    for number in range(100):
        item = int(draw.integers(ITEMS))
        make_known(items.availability, item)
        buckets = draw.integers(-1, 3, 2).astype(np.int16)
        count(popularity, item, int(draw.integers(6, 20)), NOW_S - 5_000.0 + number, buckets)
        relate(relations, draw.permutation(ITEMS)[:20].astype(np.int32), 20, item)
    count(popularity, 3, 5, NOW_S - 30.0, np.full(2, NO_BUCKET, np.int16))
    return Soft(popularity, relations, empty_histories(items.capacity), items.availability)


def snapshot_of_user() -> Snapshots:
    """User 5 now."""
    snapshots = empty_snapshots(1, RING, 4)
    snapshots.user[0] = 5
    snapshots.time[0] = NOW_S * 1_000
    snapshots.items[0, : len(OWNED)] = OWNED
    snapshots.times[0, : len(OWNED)] = [(NOW_S - gap) * 1_000 for gap in GAPS_S]
    snapshots.counts[0, : len(OWNED)] = [3, 1, 2]
    snapshots.length[0] = len(OWNED)
    snapshots.own_transitions[0, 1] = [2, 1, 0]
    snapshots.buckets[0] = [2, NO_BUCKET, NO_BUCKET, NO_BUCKET]
    snapshots.situation[0] = np.linspace(0.2, 1.0, len(SITUATION))
    return snapshots


def scored(
    soft: Soft, snapshots: Snapshots, theta: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], Scratch]:
    """Scores, features, and the part of the scores that is no feature's."""
    draw = np.random.default_rng(1)
    capacity = len(soft.availability.status)
    scratch = empty_scratch(capacity, RING)
    query = draw.normal(size=DIMENSIONS).astype(np.float32)
    embedding = draw.normal(size=(DIMENSIONS, capacity)).astype(np.float32)
    bias = draw.normal(size=capacity).astype(np.float32)
    touched = score_items(
        snapshots, 0, query, embedding, bias, theta, OWN_WEIGHTS, soft.popularity,
        soft.relations, soft.histories, soft.availability.penalty, ITEMS, scratch,
    )  # fmt: skip
    scores = scratch.scores[:ITEMS].copy()
    x = np.zeros((ITEMS, len(FEATURES)), np.float32)
    for item in range(ITEMS):
        features_of(item, float(NOW_S), len(OWNED), soft.popularity, scratch, x[item])
    clear_touched(touched, scratch)
    return scores, x, (query @ embedding + bias)[:ITEMS], scratch


def test_a_score_is_the_sum_that_the_learner_computes() -> None:
    """q·E + b + x·(θ·c + δ) for every item, with every feature weighted; no mark is left behind."""
    theta = np.random.default_rng(2).normal(size=(len(FEATURES), len(SITUATION)))
    soft, snapshots = soft_state(), snapshot_of_user()
    scores, x, taste, scratch = scored(soft, snapshots, theta.astype(np.float32))
    expected = taste + x @ (theta @ snapshots.situation[0] + OWN_WEIGHTS)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=2e-3)
    assert (scratch.mark == -1).all()


def test_features_say_what_their_names_say() -> None:
    """By hand, for an item of the ring, one that is only related, and one that is neither."""
    theta = np.zeros((len(FEATURES), len(SITUATION)), np.float32)
    soft = soft_state()
    _, x, _, _ = scored(soft, snapshot_of_user(), theta)

    def feature(item: int, name: str) -> float:
        return float(x[item, FEATURES.index(name)])

    newest, oldest = OWNED[0], OWNED[2]
    assert [feature(item, "in_ring") for item in (*OWNED, 0)] == [1, 1, 1, 0]
    assert feature(oldest, "recency_rank") == pytest.approx(-math.log(3) / 2)
    assert [feature(item, "latest") for item in OWNED] == [1, 0, 0]
    assert [feature(item, "third_latest") for item in OWNED] == [0, 0, 1]
    after_latest = [feature(item, "own_transition_from_latest") for item in OWNED]
    assert after_latest == pytest.approx([0, math.log(3), 0])
    assert feature(OWNED[1], "own_transition_from_older") == pytest.approx(math.log(2))
    assert feature(OWNED[1], "own_transition_soon") == 0
    long_ago = math.log1p(GAPS_S[2])
    assert feature(oldest, "gap") == pytest.approx(-long_ago / 5)
    assert feature(oldest, "gap_beyond_minute") == pytest.approx(-(long_ago - 4.1) / 3)
    assert feature(oldest, "gap_beyond_day") == pytest.approx(-(long_ago - 11.4) / 2)
    assert feature(newest, "gap_beyond_minute") == 0
    assert feature(newest, "ring_count") == pytest.approx(math.log(3))
    assert feature(oldest, "ring_share") == pytest.approx(math.log(2 / 6) / 2)
    assert [feature(item, "nobody_else_since") for item in OWNED] == [1, 0, 0]
    assert feature(newest, "latest_gap") == pytest.approx(math.log1p(30) / 5)
    total = float(soft.popularity.total[newest])
    assert feature(newest, "total_count") == pytest.approx(math.log(1 + total) / 3, abs=0.03)
    assert feature(newest, "seconds_since_last") == pytest.approx(-math.log(31) / 3, abs=0.03)
    follows = soft.relations.transitions
    followers = set(follows.item[newest, : follows.length[newest]].tolist())
    for item in range(ITEMS):
        assert (feature(item, "transition_from_latest") > 0) == (item in followers)


def test_what_goes_with_the_newest_items_is_told_apart() -> None:
    """By hand: the cosine with each of the two newest, and sums that fade fast or slowly."""
    soft = soft_state()
    theta = np.zeros((len(FEATURES), len(SITUATION)), np.float32)
    _, x, _, _ = scored(soft, snapshot_of_user(), theta)
    pairs, total = soft.relations.cooccurrence, soft.popularity.total
    cosine = np.zeros((len(OWNED), ITEMS))
    for lag, item in enumerate(OWNED):
        for entry in range(pairs.length[item]):
            other = pairs.item[item, entry]
            weight = pairs.weight[item, entry] / soft.relations.scale[0]
            cosine[lag, other] = weight / math.sqrt((total[item] + 10) * (total[other] + 10))
    lags = np.arange(len(OWNED))[:, None]
    expected = {
        "cooccurrence_with_latest": cosine[0],
        "cooccurrence_with_second": cosine[1],
        "cooccurrence_steep": (cosine * np.exp(-lags)).sum(0),
        "cooccurrence_weighted": (cosine * np.exp(-0.25 * lags)).sum(0),
    }
    assert (cosine[0] != cosine[1]).any()
    for name, sums in expected.items():
        told = x[:, FEATURES.index(name)]
        np.testing.assert_allclose(told, np.log1p(100 * sums) / 3, atol=0.03)


def test_what_follows_just_now_is_told_apart() -> None:
    """By hand: the shares of what followed the two newest items, sooner forgotten."""
    soft = soft_state()
    for _ in range(3):
        relate(soft.relations, np.array([OWNED[0]], np.int32), 1, 20)
    relate(soft.relations, np.array([OWNED[1]], np.int32), 1, 21)
    theta = np.zeros((len(FEATURES), len(SITUATION)), np.float32)
    _, x, _, _ = scored(soft, snapshot_of_user(), theta)
    recent, now = soft.relations.recent_transitions, soft.relations.scale[1]
    names = ("recent_transition_from_latest", "recent_transition_from_second")
    for item, name in zip(OWNED, names, strict=False):
        used = recent.length[item]
        share = np.zeros(ITEMS)
        share[recent.item[item, :used]] = recent.weight[item, :used] / now
        share /= recent.total[item] / now + 2
        told = x[:, FEATURES.index(name)]
        np.testing.assert_allclose(told, np.log1p(200 * share) / 3, atol=0.03)
        assert share.any()


def test_what_users_alike_had_is_told() -> None:
    """By hand: the share of the similarity of those who share an item; never the user's own."""
    soft, theta = soft_state(), np.zeros((len(FEATURES), len(SITUATION)), np.float32)
    nobody = np.zeros(0, np.int32)
    for user, items in ((5, (3, 7, 11, 25)), (6, (3, 20)), (7, (7, 11, 20, 21)), (8, (1, 22))):
        for item in items:
            extend_history(soft.histories, user, nobody, 0, item)
    _, x, _, _ = scored(soft, snapshot_of_user(), theta)
    similarity = {
        6: 1.0 / math.sqrt(2),
        7: (math.exp(-0.1) + math.exp(-0.2)) / math.sqrt(4),
    }
    total = 1 + sum(similarity.values())
    expected = np.zeros(ITEMS)
    expected[[3, 20]] += similarity[6] / total
    expected[[7, 11, 20, 21]] += similarity[7] / total
    told = x[:, FEATURES.index("cooccurrence_in_histories_alike")]
    np.testing.assert_allclose(told, np.log1p(300 * expected) / 3, atol=0.03)
