"""Fast weights of a user on the features, compiled: what moves this user, beside what moves all.

After each event that was ranked before it was applied, one step down the gradient of its loss:
δ_f ← clip(ρ_f δ_f − α_f g_f),  g_f = E_p[x_f] − x_f(target), p over the candidates of its task.
How far (α) and how long (ρ) is meta-learned: the traces ∂δ/∂α and ∂δ/∂ρ go along with the task, and
the outer loop's gradient passes through them (hypergradient; the effect of δ on later gradients is
kept on the diagonal, Var_p[x_f]).

They read the soft state, so they are derived state outside the digest: a process that starts, or
takes a partition over, begins with none.

Letters: U users, F features, M candidates of a task.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled

LIMIT = np.float32(3)
"""Largest weight either way: no user's events can move their own list further than this."""


class FeatureWeights(NamedTuple):
    """Of all users."""

    delta: NDArray[np.float32]
    """[U, F] δ."""
    by_step: NDArray[np.float32]
    """[U, F] ∂δ/∂α."""
    by_keep: NDArray[np.float32]
    """[U, F] ∂δ/∂ρ."""


class Moments(NamedTuple):
    """Room to work in: the features of a task's candidates under their chances."""

    chance: NDArray[np.float32]
    """[M] first the scores, with logQ correction; then the chances."""
    mean: NDArray[np.float32]
    """[F]."""
    square: NDArray[np.float32]
    """[F]."""


def no_feature_weights(users: int, features: int) -> FeatureWeights:
    """Every user is moved like all others."""
    return FeatureWeights(*(np.zeros((users, features), np.float32) for _ in range(3)))


def empty_moments(candidates: int, features: int) -> Moments:
    """Room for this many candidates and features."""
    return Moments(
        np.zeros(candidates, np.float32),
        np.zeros(features, np.float32),
        np.zeros(features, np.float32),
    )


@compiled
def _take_moments(x: NDArray[np.float32], size: int, moments: Moments) -> None:
    largest = moments.chance[0]
    for place in range(1, size):
        largest = max(largest, moments.chance[place])
    total = np.float32(0)
    for place in range(size):
        moments.chance[place] = math.exp(moments.chance[place] - largest)
        total += moments.chance[place]
    moments.mean[:] = np.float32(0)
    moments.square[:] = np.float32(0)
    for place in range(size):
        chance = moments.chance[place] / total
        for feature in range(x.shape[1]):
            weighted = chance * x[place, feature]
            moments.mean[feature] += weighted
            moments.square[feature] += weighted * x[place, feature]


@compiled
def learn_features(
    weights: FeatureWeights,
    user: int,
    step: NDArray[np.float32],
    keep: NDArray[np.float32],
    x: NDArray[np.float32],
    size: int,
    moments: Moments,
) -> None:
    """Move one user's weights by an event whose candidates have features x [M, F], target first.

    `moments.chance` [M] holds the candidates' scores on entry.
    """
    _take_moments(x, size, moments)
    for feature in range(x.shape[1]):
        mean = moments.mean[feature]
        variance = max(moments.square[feature] - mean * mean, np.float32(0))
        gradient = mean - x[0, feature]
        before = weights.delta[user, feature]
        after = keep[feature] * before - step[feature] * gradient
        carried = max(keep[feature] - step[feature] * variance, np.float32(0))
        weights.by_step[user, feature] = carried * weights.by_step[user, feature] - gradient
        weights.by_keep[user, feature] = carried * weights.by_keep[user, feature] + before
        if abs(after) >= LIMIT:
            after = min(max(after, -LIMIT), LIMIT)
            weights.by_step[user, feature] = np.float32(0)
            weights.by_keep[user, feature] = np.float32(0)
        weights.delta[user, feature] = after
