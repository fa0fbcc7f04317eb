"""No user has more than their share of a block, and popular items can count less."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.contract.task import TaskBlock
from metarec_stream.learner.events import concatenate, events_of
from metarec_stream.learner.influence import by_popularity, limited_by_user, weighed
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.learner.start import built_in_version
from metarec_stream.pipeline.features import FEATURES
from tests.learner.planted import ITEMS, planted_block, quick_settings

ROWS = np.arange(len(ITEMS), dtype=np.int32)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.floats(0.01, 100.0)), min_size=1, max_size=40),
    st.floats(0.01, 1.0),
)
def test_no_user_has_more_than_the_share(made: list[tuple[int, float]], share: float) -> None:
    """Or than an equal one where there are few users; who is below it is left as they were."""
    users = np.array([user for user, _ in made], np.uint64)
    weights = np.array([weight for _, weight in made])
    limited = limited_by_user(weights, users, share)
    before, after = (np.bincount(users.astype(int), each) for each in (weights, limited))
    most = max(share, 1 / len(set(users.tolist())))
    assert after.max() <= most * after.sum() * (1 + 1e-6)
    assert (limited <= weights * (1 + 1e-9)).all()
    under = (before > 0) & (before <= most * after.sum() * (1 - 1e-6))
    np.testing.assert_allclose(after[under], before[under])
    if before.max() <= share * before.sum():
        np.testing.assert_array_equal(limited, weights)


def test_popular_items_count_less_within_bounds() -> None:
    """A hundred times as popular: a tenth of the weight at 0.5; never beyond tenfold either way."""
    logarithm = np.log(np.array([1.0, 100.0]))
    lighter = by_popularity(np.ones(2), logarithm, 0.5)
    assert lighter[0] / lighter[1] == pytest.approx(10.0)
    assert lighter.mean() == pytest.approx(1.0)
    np.testing.assert_array_equal(by_popularity(np.ones(2), logarithm, 0.0), np.ones(2))
    far = by_popularity(np.ones(1_000), np.r_[0.0, np.full(999, 20.0)], 1.0)
    assert (far.min(), far.max()) == (0.1, 10.0)


def test_a_block_weighs_what_it_did_and_reads_the_popularity_feature() -> None:
    """By default nothing changes; otherwise the sum stays, and the popular item is lighter."""
    block = planted_block(0)
    block.features[:32, 0, FEATURES.index("popularity_5000")] = 2.0
    events = events_of(block, ROWS)
    assert weighed(events, LearnSettings()) is events
    changed = weighed(events, LearnSettings(popularity_weight=0.25))
    assert changed.weights.sum() == pytest.approx(64.0)
    ratio = changed.weights[0] / changed.weights[-1]
    assert ratio == pytest.approx(np.exp(-0.25 * 6.0), rel=1e-3)


def flooded(number: int) -> TaskBlock:
    """16 events of as many users by one rule, and 48 of one user who contradicts them."""
    honest, flood = planted_block(number, n=16), planted_block(number, n=48, shift=7)
    fields = {
        field.name: np.concatenate([getattr(honest, field.name), getattr(flood, field.name)])
        for field in dataclasses.fields(TaskBlock)
        if isinstance(getattr(honest, field.name), np.ndarray) and field.name != "item_tokens"
    }
    users = np.r_[np.arange(16) + 1, np.full(48, 99)].astype(np.uint64)
    return dataclasses.replace(honest, **{**fields, "users": users})


def honest_loss(user_share: float) -> float:
    """Of the last version published under a flood, on events of honest users."""
    settings = quick_settings(user_share=user_share)
    one = Learner(settings, built_in_version(settings))
    live = built_in_version(settings)
    for number in range(20):
        one.take(flooded(number), number + 1)
        live = one.decide(number) or live
    judge = Learner(settings, live)
    if not live.items:
        judge.take(planted_block(0, n=1))
    events = concatenate([events_of(planted_block(9_000 + n), ROWS) for n in range(4)])
    return float(judge.replica.judge(events).anchor.mean())


def test_a_flood_of_one_user_does_not_rule_what_others_get() -> None:
    """Within their share, what is published is much better for the others than without a limit."""
    limited, free = honest_loss(user_share=0.1), honest_loss(user_share=1.0)
    assert limited < 0.75 * free
    assert limited < 0.6 * np.log(len(ITEMS))
