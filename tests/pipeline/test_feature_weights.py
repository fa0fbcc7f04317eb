"""A user's own weights of the features: the step, its bound, and what the outer loop is told."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from metarec_stream.pipeline.feature_weights import (
    LIMIT,
    FeatureWeights,
    empty_moments,
    learn_features,
    no_feature_weights,
)

EVENTS, CANDIDATES = 12, 5


def learned(
    x: NDArray[np.float32], step: float, keep: float, shared: float = 0.3
) -> tuple[FeatureWeights, list[float]]:
    """One user's weights after events with features x [n, M, F], and each event's loss before."""
    features = x.shape[2]
    weights = no_feature_weights(2, features)
    moments = empty_moments(CANDIDATES, features)
    losses = []
    for event in x:
        scores = event @ (np.full(features, shared, np.float32) + weights.delta[1])
        losses.append(float(np.logaddexp.reduce(scores - scores[0])))
        moments.chance[:] = scores
        steps = np.full(features, step, np.float32)
        keeps = np.full(features, keep, np.float32)
        learn_features(weights, 1, steps, keeps, event, CANDIDATES, moments)
    return weights, losses


def drawn(features: int, seed: int = 0) -> NDArray[np.float32]:
    """Features of the events' candidates; the first feature is larger for what comes."""
    x = np.random.default_rng(seed).normal(size=(EVENTS, CANDIDATES, features))
    x[:, 0, 0] += 2.0
    return x.astype(np.float32)


def test_a_step_by_hand() -> None:
    """δ ← ρ δ − α (E_p[x] − x_target), and no other user's weights move."""
    x = np.array([[[2.0], [0.0], [1.0], [1.0], [1.0]]], np.float32)
    weights, _ = learned(x, step=0.5, keep=0.9, shared=0.0)
    assert weights.delta[1, 0] == pytest.approx(-0.5 * (1.0 - 2.0))
    assert weights.by_step[1, 0] == pytest.approx(1.0)
    assert (weights.delta[0] == 0).all()


def test_what_a_user_goes_for_is_learned() -> None:
    """The loss of later events falls below that of a user whom nothing is learned of."""
    x = drawn(3)
    _, moved = learned(x, step=0.2, keep=0.99)
    _, still = learned(x, step=0.0, keep=0.99)
    assert np.mean(moved[4:]) < np.mean(still[4:]) - 0.05


def test_traces_are_the_derivatives_of_the_weights() -> None:
    """With one feature, where the diagonal is everything, they equal central differences."""
    x, step, keep = drawn(1), 0.05, 0.9
    weights, _ = learned(x, step, keep)
    change = 1e-2
    for trace, (lower, higher) in {
        "by_step": ((step - change, keep), (step + change, keep)),
        "by_keep": ((step, keep - change), (step, keep + change)),
    }.items():
        below, above = learned(x, *lower)[0], learned(x, *higher)[0]
        numeric = float(above.delta[1, 0] - below.delta[1, 0]) / (2 * change)
        assert float(getattr(weights, trace)[1, 0]) == pytest.approx(numeric, rel=2e-2)
        assert math.fabs(numeric) > 1e-2


def test_no_event_moves_a_weight_beyond_its_limit() -> None:
    """However large the features: the weight stops, and its derivatives are zero there."""
    weights, _ = learned(drawn(3) * 1e4, step=1.0, keep=1.0)
    assert np.abs(weights.delta).max() <= LIMIT
    stopped = np.abs(weights.delta[1]) == LIMIT
    assert stopped.any()
    assert (weights.by_step[1][stopped] == 0).all()
