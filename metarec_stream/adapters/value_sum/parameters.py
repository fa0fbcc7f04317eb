"""The slow weights of the value-sum adapter: names, shapes, and version 0.

q = gain ⊙ LayerNorm(start + Σ_h (Z_h / √(1 + Σ_l w_hl)) W_h),
Z_h = Σ_l w_hl V_l,  w_hl = σ(step_decay_h)^l · exp(−Δt_l / exp(log_time_scale_h)),
score = q·E_i + b_i + Σ_f x_f(i)·(θ_f·c).

| name | shape | letter |
|---|---|---|
| value | [items, d] | V |
| embedding | [items, d] | E |
| bias | [items] | b |
| mixing | [H, d, d] | W, applied as row vector times matrix |
| start | [d] | q0 |
| gain | [d] | gain |
| step_decay | [H] | logits |
| log_time_scale | [H] | log seconds |
| theta | [F, C] | θ |
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.hashing import hash64

NAME = "value-sum"
TABLES = ("value", "embedding", "bias")
LAYER_NORM_EPSILON = 1e-5
LEAST_WEIGHT = 1e-5
"""Weights w_hl below this add nothing to Z_h (they still count in Σ_l w_hl)."""

_TIME_SCALES_S = (1_800.0, 86_400.0, 30 * 86_400.0, 365 * 86_400.0)
_STEP_DECAYS = (-2.0, 0.0, 1.5, 3.0)
_THETA_START = {
    "popularity_500": 0.5,
    "popularity_5000": 1.0,
    "in_ring": 0.5,
    "transition_from_latest": 0.5,
    "cooccurrence_weighted": 0.5,
}

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
    dimensions: int, time_scales: int, features: tuple[str, ...], situation: int
) -> MetaVersion:
    """The built-in version: no item known, E = 0, sensible feature weights."""
    theta = np.zeros((len(features), situation), np.float32)
    for name, weight in _THETA_START.items():
        theta[features.index(name), 0] = weight
    mixing: Table = np.stack([np.eye(dimensions) / time_scales] * time_scales).astype(np.float32)
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
            "mixing": mixing,
            "start": np.zeros(dimensions, np.float32),
            "gain": np.ones(dimensions, np.float32),
            "step_decay": np.array(_STEP_DECAYS, np.float32)[pick],
            "log_time_scale": np.log(np.array(_TIME_SCALES_S, np.float32))[pick],
            "theta": theta,
        },
    )
