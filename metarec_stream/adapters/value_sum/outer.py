"""The outer half of the value-sum adapter: the loss of logged tasks, for autograd.

The arithmetic is that of `parameters`; the gradient goes through the fast weights to V, the decays
and the time scales. Tables are handed in as the rows in use only, so the cost of a step does not
grow with the catalogue. Letters: n events, M candidates, F features, C situation, L window, H time
scales, d dimensions, R rows in use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from metarec_stream.adapters.value_sum.parameters import LAYER_NORM_EPSILON, LEAST_WEIGHT

Parameters = dict[str, Tensor]
"""By the names of `parameters`; the tables hold the rows in use."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """Events to learn from, on one device; item numbers index the rows in use, -1 pads."""

    candidates: Tensor
    """int64 [n, M], the item that came in column 0."""
    log_q: Tensor
    """[n, M]"""
    features: Tensor
    """[n, M, F]"""
    window: Tensor
    """int64 [n, L], newest first."""
    gaps: Tensor
    """[n, L] seconds."""
    situation: Tensor
    """[n, C]"""
    weights: Tensor
    """[n]"""


def queries(parameters: Parameters, window: Tensor, gaps: Tensor) -> Tensor:
    """The query q [n, d] of users whose last distinct items are window [n, L], gaps [n, L] ago."""
    steps = torch.arange(window.shape[1], device=gaps.device, dtype=gaps.dtype)
    log_step = functional.logsigmoid(parameters["step_decay"])
    rate = torch.exp(-parameters["log_time_scale"])
    exponent = log_step[:, None] * steps - rate[:, None] * gaps.clamp(min=0.0)[:, None, :]
    weights = torch.exp(exponent) * (window >= 0)[:, None, :]
    heard = torch.where(weights > LEAST_WEIGHT, weights, 0.0)
    values = functional.embedding(window.clamp(min=0), parameters["value"])
    sums = torch.bmm(heard, values) * torch.rsqrt(1.0 + weights.sum(-1, keepdim=True))
    mixed = sums.flatten(1) @ parameters["mixing"].flatten(0, 1)
    return functional.layer_norm(
        parameters["start"] + mixed,
        parameters["start"].shape,
        weight=parameters["gain"],
        eps=LAYER_NORM_EPSILON,
    )


def scores(parameters: Parameters, tasks: Tasks) -> Tensor:
    """The scores [n, M] of the candidates with their logQ correction; padding is -infinity."""
    query = queries(parameters, tasks.window, tasks.gaps)
    rows = tasks.candidates.clamp(min=0)
    taste = functional.embedding(rows, parameters["embedding"]) @ query[:, :, None]
    known = functional.embedding(rows, parameters["bias"][:, None])
    feature_weights = tasks.situation @ parameters["theta"].T
    told = tasks.features @ feature_weights[:, :, None]
    total = (taste + known + told).squeeze(-1) + tasks.log_q
    return total.masked_fill(tasks.candidates < 0, -math.inf)


def losses(parameters: Parameters, tasks: Tasks) -> Tensor:
    """The loss [n] of each event: softmax cross-entropy of the item that came, unweighted."""
    total = scores(parameters, tasks)
    return torch.logsumexp(total, 1) - total[:, 0]


def outer_loss(each: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of the events' losses."""
    return (each * weights).sum() / weights.sum()
