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
    competitors,
    dropped_out,
    prediction_weights,
    prefix_loss,
    prefix_queries,
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


def test_all_rows_compete_while_they_are_few() -> None:
    """Each for itself."""
    competing, stand_for = competitors(np.arange(9.0), 9, np.random.default_rng(0))
    assert competing.tolist() == list(range(9))
    assert not stand_for.any()


def test_of_many_rows_the_likeliest_compete_and_some_that_stand_for_the_rest() -> None:
    """The sum over all rows is estimated without bias; who is drawn depends on the seed alone."""
    priors = np.random.default_rng(1).normal(size=200)
    total = np.exp(priors).sum()
    estimates = []
    for seed in range(2_000):
        competing, stand_for = competitors(priors, 60, np.random.default_rng(seed))
        assert len(competing) == 60
        assert (np.diff(competing) > 0).all()
        estimates.append(np.exp(priors[competing] + stand_for).sum())
    assert np.mean(estimates) == pytest.approx(total, rel=3e-3)
    assert set(np.argsort(-priors)[:30]) <= set(competing)
    again, _ = competitors(priors, 60, np.random.default_rng(1_999))
    np.testing.assert_array_equal(again, competing)


def test_a_predicted_item_that_does_not_compete_is_predicted_all_the_same() -> None:
    """The loss among a few rows, by hand: the right one once, others for what they stand for."""
    slow, given = parameters(), prefixes()
    slow = {name: kept for name, kept in slow.items() if name not in TOKEN_TABLES}
    competing, stand_for = torch.tensor([0, 2]), torch.tensor([0.0, 1.5], dtype=torch.float64)
    given = replace(given, competing=competing, stand_for=stand_for)
    expected = torch.zeros((), dtype=torch.float64)
    found = prefix_queries(slow, given, slow["start"]) @ slow["value"].T + slow["prior"]
    for event in range(N):
        for place in range(L):
            target = int(given.items[event, place])
            if target < 0:
                continue
            logits = found[event, place]
            wrong = [
                logits[row] + log
                for row, log in zip(competing, stand_for, strict=True)
                if row != target
            ]
            total = torch.logsumexp(torch.stack([logits[target], *wrong]), 0)
            expected = expected + given.weights[event, place] * (total - logits[target])
    torch.testing.assert_close(prefix_loss(slow, given, slow["start"]), expected)


def test_nothing_is_learned_where_nothing_competes() -> None:
    """Of a catalogue of one item the loss is 0, and so is its gradient."""
    slow, given = parameters(), prefixes()
    slow = {name: kept.requires_grad_() for name, kept in slow.items() if name not in TOKEN_TABLES}
    alone = replace(
        given,
        items=torch.where(given.items >= 0, 0, -1),
        competing=torch.tensor([0]),
        stand_for=torch.zeros(1, dtype=torch.float64),
    )
    loss = prefix_loss(slow, alone, slow["start"])
    (gradient,) = torch.autograd.grad(loss, [slow["value"]])
    assert loss.item() == 0.0
    assert not gradient.any()


def test_dropout_leaves_the_mean() -> None:
    """A share of the factors is 0, the others make up for it; without a rate all are 1."""
    factors = dropped_out((100, 100), 0.2, np.random.default_rng(0))
    assert set(np.unique(factors).tolist()) == {0.0, 1.25}
    assert factors.mean() == pytest.approx(1.0, abs=0.02)
    assert (dropped_out((2, 3), 0.0, np.random.default_rng(0)) == 1).all()
