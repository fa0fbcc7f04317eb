"""The slow weights of the value-sum adapter: names, shapes, and version 0.

q = gain ⊙ LayerNorm(start + Σ_h g_h (Z_h / √(1 + Σ_l w_hl)) W_h),
Z_h = Σ_l w_hl V_l,  w_hl = σ(step_decay_h)^l · exp(−Δt_l / exp(log_time_scale_h)),
g_h = 2σ(Σ_{a<b} agreement_hab · cos(Z_a, Z_b)),
score = q·E_i + b_i + ω·(q·V_i + p_i) + Σ_f x_f(i)·(θ_f·c + δ_f), plus, for the strongest
candidates, share · rerank(x(i), score, c), a network of two hidden layers. V_i, E_i, b_i and p_i
are the item's own rows (of an item that no version knows: its id's hash, by which nothing is found,
and 0) plus the means of its tokens' content rows; to start is added the mean of profile_start over
the tokens of the user's profile. δ are the user's own weights of the features: after each event
δ_f ← clip(ρ_f δ_f − α_f g_f), g the gradient of that event's loss.

A sum over a user's newest items that points elsewhere than the sum over all of them tells of a
change of taste: g, the gates, say which of the sums is believed then, as the gates of recurrent
networks do (Cho et al. 2014), and learn it across users.

What an item adds to its users' fast weights is also what it is found by: V stands on both sides, as
input and output vectors of sequence models do (tied weights: Hidasi and Karatzoglou 2018). V and p
learn what comes next from users' windows by themselves (`prefixes`); E and b learn what the rest of
the score leaves over, and ω how far the former is to be believed.

| name | shape | letter |
|---|---|---|
| value | [items, d] | V |
| embedding | [items, d] | E |
| bias | [items] | b |
| prior | [items] | p |
| mixing | [H, d, d] | W, applied as row vector times matrix |
| start | [d] | q0 |
| gain | [d] | gain |
| step_decay | [H] | logits |
| agreement | [H, H(H - 1) / 2] | by pair of sums: (1, 2), (1, 3), ..., (2, 3), ... |
| log_time_scale | [H] | log seconds |
| taste | [1] | ω |
| theta | [F, C] | θ |
| feature_step | [F] | log α |
| feature_keep | [F] | logit of ρ |
| content_value, content_embedding | [tokens, d] | |
| content_bias | [tokens] | |
| profile_start | [tokens, d] | |
| rerank_first, rerank_second | [F + 1 + C, R], [R, R] | weights of the hidden layers |
| rerank_first_bias, rerank_second_bias | [R] | |
| rerank_last | [R] | weights of what is added, 0 in version 0 |
| rerank_share | [1] | between 0 and 1, not trained by gradient |
| temperature | [1] | log; of the softmax that gives probabilities, not trained by gradient |
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.hashing import hash64

NAME = "value-sum"
TABLES = ("value", "embedding", "bias", "prior")
"""One row per item of the version."""
CONTENT = {
    "value": "content_value",
    "embedding": "content_embedding",
    "bias": "content_bias",
}
"""By table: that of tokens, whose mean over an item's tokens is added to the item's row."""
PROFILE = "profile_start"
TOKEN_TABLES = (*CONTENT.values(), PROFILE)
"""One row per token, as far as tokens were met: none in version 0."""
LAYER_NORM_EPSILON = 1e-5
AGREEMENT_EPSILON = 1e-8
"""Added to the squared norms of the sums whose cosines are taken."""
LEAST_WEIGHT = 1e-5
"""Weights w_hl below this add nothing to Z_h (they still count in Σ_l w_hl)."""

NETWORK = (
    "rerank_first",
    "rerank_first_bias",
    "rerank_second",
    "rerank_second_bias",
    "rerank_last",
)
"""The weights of the re-ranker."""
UNTRAINED = ("rerank_share", "temperature")
"""Small parameters that no gradient moves."""

_TIME_SCALES_S = (1_800.0, 86_400.0, 30 * 86_400.0, 365 * 86_400.0)
_STEP_DECAYS = (-2.0, 0.0, 1.5, 8.0)
_LONGEST_SUM_SHARE = 0.7
"""Of the query in version 0, that of the sum which hears the whole window alike: what holds when
the order of events says nothing. Where it does, learning moves on from there."""
_THETA_START = {
    "popularity_500": 0.5,
    "popularity_5000": 1.0,
    "in_ring": 0.5,
    "transition_from_latest": 0.5,
    "cooccurrence_weighted": 0.5,
}
_FEATURE_STEP, _FEATURE_KEEP = 0.05, 0.95
_NETWORK_SEED = 1

Table = NDArray[np.float32]


def hashed_value(item: str, dimensions: int) -> Table:
    """The value vector [d] of an item that no version knows: normal, drawn from the id's hash."""
    generator = np.random.Generator(np.random.Philox(key=hash64(item)))
    return (generator.standard_normal(dimensions) * 0.5 / math.sqrt(dimensions)).astype(np.float32)


def hashed_values(items: Iterable[str], dimensions: int) -> Table:
    """The value vectors [items, d] of items that no version knows."""
    rows = [hashed_value(item, dimensions) for item in items]
    return np.stack(rows) if rows else np.zeros((0, dimensions), np.float32)


def version_zero(
    settings: ValueSumSettings, features: tuple[str, ...], situation: int
) -> MetaVersion:
    """The built-in version: no item known, E = 0, no taste, sensible feature weights."""
    dimensions, time_scales = settings.dimensions, settings.time_scales
    theta = np.zeros((len(features), situation), np.float32)
    for name, weight in _THETA_START.items():
        theta[features.index(name), 0] = weight
    pick = np.linspace(0, len(_STEP_DECAYS) - 1, time_scales).round().astype(int)
    return MetaVersion(
        version=0,
        parent=-1,
        adapter=NAME,
        items=[],
        parameters={
            "value": np.zeros((0, dimensions), np.float32),
            "embedding": np.zeros((0, dimensions), np.float32),
            "bias": np.zeros(0, np.float32),
            "prior": np.zeros(0, np.float32),
            "content_value": np.zeros((0, dimensions), np.float32),
            "content_embedding": np.zeros((0, dimensions), np.float32),
            "content_bias": np.zeros(0, np.float32),
            "profile_start": np.zeros((0, dimensions), np.float32),
            "mixing": _first_mixing(dimensions, time_scales),
            "start": np.zeros(dimensions, np.float32),
            "gain": np.ones(dimensions, np.float32),
            "step_decay": np.array(_STEP_DECAYS, np.float32)[pick],
            "agreement": np.zeros((time_scales, math.comb(time_scales, 2)), np.float32),
            "log_time_scale": np.log(np.array(_TIME_SCALES_S, np.float32))[pick],
            "taste": np.zeros(1, np.float32),
            "theta": theta,
            "feature_step": np.full(len(features), math.log(_FEATURE_STEP), np.float32),
            "feature_keep": np.full(
                len(features), math.log(_FEATURE_KEEP / (1 - _FEATURE_KEEP)), np.float32
            ),
            "temperature": np.zeros(1, np.float32),
            **_silent_network(len(features) + 1 + situation, settings.rerank_units),
        },
    )


def _first_mixing(dimensions: int, time_scales: int) -> Table:
    """W [H, d, d] before learning: each sum as it is, weighted; the longest is the last."""
    shares = np.full(time_scales, (1.0 - _LONGEST_SUM_SHARE) / max(1, time_scales - 1))
    shares[-1] = 1.0 - shares[:-1].sum()
    mixing: Table = (shares[:, None, None] * np.eye(dimensions)).astype(np.float32)
    return mixing


def shape_in(version: MetaVersion, name: str, zero: Table) -> tuple[int, ...]:
    """The shape that a parameter has to have in a version, given what it is in version 0."""
    if name in TABLES:
        return (len(version.items), *zero.shape[1:])
    if name in TOKEN_TABLES and name in version.parameters:
        return (*version.parameters[name].shape[:1], *zero.shape[1:])
    return zero.shape


def _silent_network(inputs: int, units: int) -> dict[str, Table]:
    """The re-ranker before it has learned: it adds nothing, and its hidden units are at random."""
    generator = np.random.Generator(np.random.Philox(key=_NETWORK_SEED))

    def layer(sources: int) -> Table:
        drawn = generator.standard_normal((sources, units)) / math.sqrt(sources)
        return drawn.astype(np.float32)

    return {
        "rerank_first": layer(inputs),
        "rerank_first_bias": np.zeros(units, np.float32),
        "rerank_second": layer(units),
        "rerank_second_bias": np.zeros(units, np.float32),
        "rerank_last": np.zeros(units, np.float32),
        "rerank_share": np.zeros(1, np.float32),
    }
