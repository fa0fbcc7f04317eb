"""The control of item-item regression against a plain reading of its definition."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from metarec_stream.evaluate.controls import ease
from metarec_stream.evaluate.controls.ease import (
    Regression,
    item_weights,
    rank_by_regression,
    solution,
)
from metarec_stream.evaluate.controls.followed import Mixed, blocks_to_solve
from metarec_stream.evaluate.metrics import ranks
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream
from tests.evaluate.controls.plain import (
    Events,
    assert_ranked,
    latest_distinct,
    popularity_shares,
    protocols,
    wanted,
)
from tests.evaluate.streams import grouped_stream, some_events, stream_from

REGRESSION = Regression(half_life=4.0, penalty=0.5, fading=0.3)


def gram(stream: Stream, row: int, half_life: float) -> NDArray[np.float64]:
    """[N, N] what the items have in common before a row, pair by pair."""
    past = wanted(stream, row)
    latest: defaultdict[int, list[int]] = defaultdict(list)
    found = np.zeros((len(stream.item_ids), len(stream.item_ids)))
    for at, (user, item) in enumerate(past):
        weight = 0.5 ** ((len(past) - 1 - at) / half_life)
        found[item, item] += weight
        for lag, other in enumerate(latest[user][: ease.WINDOW - 1], 1):
            if other != item:
                found[item, other] += weight * (1 - lag / ease.WINDOW)
                found[other, item] += weight * (1 - lag / ease.WINDOW)
        latest[user] = [item, *(other for other in latest[user] if other != item)]
    return found


def test_the_solution_is_that_of_least_squares_without_the_item_itself() -> None:
    """Each column solved by itself, over the other items."""
    rows = np.random.default_rng(0).random((30, 6))
    weights = solution(rows.T @ rows, penalty=2.0)
    for item in range(6):
        others = np.arange(6) != item
        known = rows[:, others]
        column = np.linalg.solve(known.T @ known + 2.0 * np.eye(5), known.T @ rows[:, item])
        assert weights[others, item] == pytest.approx(column, rel=1e-5)
        assert weights[item, item] == 0.0


@given(some_events)
def test_rows_are_windows_of_a_users_items(events: Events) -> None:
    """Decayed counts on the diagonal, beside it the share of windows that a pair is in."""
    stream = stream_from([(user, item) for user, item, _ in events], [kind for *_, kind in events])
    solved = item_weights(stream, len(stream), REGRESSION)
    plain = gram(stream, len(stream), REGRESSION.half_life)
    assert sorted(solved.items.tolist()) == np.flatnonzero(np.diag(plain)).tolist()
    expected = solution(plain[np.ix_(solved.items, solved.items)], REGRESSION.penalty)
    assert solved.weights == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(some_events, protocols, st.sampled_from([0.01, 0.5]), st.sampled_from([0.0, 1.0]))
def test_ranks_are_those_of_weighted_rows(
    events: Events, protocol: Protocol, share: float, again: float
) -> None:
    """Under every protocol, with the solution of the block that the row is in."""
    stream = stream_from([(user, item) for user, item, _ in events], [kind for *_, kind in events])
    part = slice(0, len(stream))

    def scores(row: int) -> dict[int, float]:
        start = max(block.start for block in blocks_to_solve(part) if block.start <= row)
        solved = item_weights(stream, start, REGRESSION)
        found: defaultdict[int, float] = defaultdict(float)
        for item, popularity in popularity_shares(stream, row, 5.0).items():
            found[item] = share * popularity
        latest = latest_distinct(stream, row)
        for rank, own in enumerate(latest):
            for place, other in enumerate(solved.items.tolist()):
                if solved.place[own] >= 0:
                    weight = float(solved.weights[solved.place[own], place])
                    found[other] += math.exp(-REGRESSION.fading * rank) * weight
        for own in latest:
            found[own] *= again
        return found

    mixed = Mixed(REGRESSION, 5.0, share, again)
    ranked = rank_by_regression(stream, protocol, mixed, 0, part)
    assert_ranked(ranked, stream, protocol, scores)


def test_the_items_wanted_most_of_late_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room for all: the newest, for each weighs half the next."""
    monkeypatch.setattr(ease, "MOST_ITEMS", 2)
    stream = stream_from([("a", item) for item in "uuuvwx"])
    solved = item_weights(stream, len(stream), Regression(1.0, 1.0, 1.0))
    assert [stream.item_ids[item] for item in solved.items] == ["x", "w"]
    assert solved.place.tolist() == [-1, -1, 1, 0]


def test_groups_of_items_are_learned() -> None:
    """Users who stay within five of twenty items: the target is among the first five."""
    stream, protocol = grouped_stream(1_000), Protocol(score_from=0.8)
    ranked = ease.ease(stream, protocol, 0)
    assert ranked.rows.tolist() == stream.scored(protocol).tolist()
    assert np.mean(ranks(ranked, "mid") <= 5) > 0.9
