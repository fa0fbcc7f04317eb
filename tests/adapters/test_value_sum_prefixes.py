"""How value vectors are learned: the items of a window, each from the older ones."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from metarec_stream.adapters.value_sum.outer import queries
from metarec_stream.adapters.value_sum.parameters import TOKEN_TABLES
from metarec_stream.adapters.value_sum.prefixes import (
    dropped_out,
    prediction_weights,
    prefix_loss,
    shared_rows,
)
from tests.adapters.drawn import L, N, parameters, prefixes


def test_every_item_of_a_window_is_predicted_by_the_older_ones() -> None:
    """The loss at all prefixes is the sum of what windows cut off at each item would lose."""
    slow, given = parameters(), prefixes()
    slow = {name: kept for name, kept in slow.items() if name not in TOKEN_TABLES}
    weights = torch.rand(N, L, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    given = replace(given, weights=weights)
    expected = torch.zeros((), dtype=torch.float64)
    for event in range(N):
        for place in range(L):
            target = int(given.items[event, place])
            if target < 0:
                continue
            older = given.items[event : event + 1, place + 1 :]
            gaps = given.times[event : event + 1, place + 1 :] - given.times[event, place]
            found = queries(slow, older, gaps) @ slow["value"].T + slow["prior"]
            loss = torch.logsumexp(found, 1) - found[:, target]
            expected = expected + given.weights[event, place] * loss[0]
    torch.testing.assert_close(prefix_loss(slow, given, slow["start"]), expected)


def test_newer_predictions_count_more_where_asked() -> None:
    """A half-life of 2 places by hand; padding counts nothing; and all alike at infinity."""
    items = np.array([[4, 3, 2, 1, 0], [4, 3, -1, -1, -1]], np.int32)
    events = np.array([1.0, 0.5], np.float32)
    alike = [[1, 1, 1, 1], [0.5, 0.5, 0, 0]]
    np.testing.assert_array_equal(prediction_weights(items, events, math.inf), alike)
    fading = np.array(alike) * [1, 0.5**0.5, 0.5, 0.5**1.5]
    np.testing.assert_allclose(prediction_weights(items, events, 2.0), fading, rtol=1e-6)


def test_what_competes_is_bounded_and_holds_what_is_predicted() -> None:
    """All rows while they are few; else evenly spread ones beside the predicted."""
    predicted = np.array([[3, 977, -1]], np.int32)
    assert shared_rows(predicted, 1_000, 1_000).tolist() == list(range(1_000))
    some = shared_rows(predicted, 1_000, 11)
    assert {3, 977, 0, 999} <= set(some.tolist())
    assert len(some) == 13
    assert (np.diff(some) > 0).all()


def test_dropout_leaves_the_mean() -> None:
    """A share of the factors is 0, the others make up for it; without a rate all are 1."""
    factors = dropped_out((100, 100), 0.2, np.random.default_rng(0))
    assert set(np.unique(factors).tolist()) == {0.0, 1.25}
    assert factors.mean() == pytest.approx(1.0, abs=0.02)
    assert (dropped_out((2, 3), 0.0, np.random.default_rng(0)) == 1).all()
