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

from metarec_stream.adapters.protocol import RERANK_SCORE_LIMIT, RERANK_SCORE_SCALE
from metarec_stream.adapters.value_sum.parameters import CONTENT, PROFILE
from metarec_stream.adapters.value_sum.prefixes import normalised, weighted_sums

Parameters = dict[str, Tensor]
"""By the names of `parameters`; the tables hold the rows in use."""


SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the re-ranker that are compared on events before they are learned."""
LOG_TEMPERATURES = tuple(0.125 * step for step in range(-6, 7))
"""Logarithms of the temperatures that are compared likewise: from 0.47 to 2.1."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """Events to learn from, on one device; item numbers index the rows in use, -1 pads."""

    candidates: Tensor
    """int64 [n, M], the item that came in column 0."""
    reranked: Tensor
    """[n, M] 1 for those whose score the re-ranker adds to, else 0."""
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
    feature_weights: Tensor
    """[n, 3, F] the users' own weights δ of the features, ∂δ/∂α and ∂δ/∂ρ."""
    weights: Tensor
    """[n]"""
    unlearned: Tensor
    """[n] 1 for events that nothing has learned from yet, else 0."""
    item_tokens: Tensor
    """int64 [rows in use, K] tokens of the items; K is 0 without any."""
    profile_tokens: Tensor
    """int64 [n, K] tokens of the users' profiles."""


def with_tokens(rows: Tensor, told: Tensor | None, tokens: Tensor) -> Tensor:
    """Rows [R, …] plus the means of `told` over their tokens [R, K]; as they are without any."""
    if told is None:
        return rows
    given = (tokens >= 0).to(told.dtype)
    shares = given / given.sum(1, keepdim=True).clamp(min=1)
    table = told if told.ndim > 1 else told[:, None]
    means = functional.embedding_bag(
        tokens.clamp(min=0), table, per_sample_weights=shares, mode="sum"
    )
    return rows + (means if told.ndim > 1 else means[:, 0])


def item_tables(parameters: Parameters, tasks: Tasks) -> Parameters:
    """The parameters with the tables' rows in use as they are served: content added to them."""
    served = {
        table: with_tokens(parameters[table], parameters.get(name), tasks.item_tokens)
        for table, name in CONTENT.items()
    }
    return {**parameters, **served}


def starts(parameters: Parameters, tasks: Tasks) -> Tensor:
    """What the queries start from: [d], or [n, d] where users have profiles."""
    return with_tokens(parameters["start"], parameters.get(PROFILE), tasks.profile_tokens)


def queries(
    parameters: Parameters, window: Tensor, gaps: Tensor, start: Tensor | None = None
) -> Tensor:
    """The query q [n, d] of users whose last distinct items are window [n, L], gaps [n, L] ago.

    start: [d] or [n, d], the parameter if none is given.
    """
    steps = torch.arange(window.shape[1], device=gaps.device, dtype=gaps.dtype)[None, :]
    values = functional.embedding(window.clamp(min=0), parameters["value"])
    elapsed, heard = gaps.clamp(min=0.0)[:, None], (window >= 0)[:, None]
    mixed = weighted_sums(parameters, values, steps, elapsed, heard).squeeze(1)
    return normalised(parameters, mixed + (parameters["start"] if start is None else start))


def own_weights(parameters: Parameters, feature_weights: Tensor) -> Tensor:
    """The users' own weights δ [n, F], whose gradient reaches α and ρ through the traces.

    Their value is the logged one: what is added is zero, and moves with α and ρ alone.
    """
    delta, by_step, by_keep = feature_weights.unbind(1)
    step = torch.exp(parameters["feature_step"])
    keep = torch.sigmoid(parameters["feature_keep"])
    return delta + (step - step.detach()) * by_step + (keep - keep.detach()) * by_keep


def taste_alone(parameters: Parameters, tasks: Tasks) -> Tensor:
    """q·V_i + p_i [n, M] of the candidates, as `prefixes` has learned it."""
    served = item_tables(parameters, tasks)
    query = queries(served, tasks.window, tasks.gaps, starts(parameters, tasks))
    rows = tasks.candidates.clamp(min=0)
    found = functional.embedding(rows, served["value"]) @ query[:, :, None]
    return found.squeeze(-1) + served["prior"][rows]


def out_of_sample(mix: Tensor, tasks: Tasks) -> Tensor:
    """The values [n, …]; a gradient goes through those of events that nothing has learned from yet.

    How far parts are believed is learned where none of them was fitted to the outcome (stacking:
    Wolpert 1992). Else what knows an event by heart is believed before what only foresees it.
    """
    return torch.where(tasks.unlearned[:, None] > 0, mix, mix.detach())


def first_scores(parameters: Parameters, tasks: Tasks, alone: Tensor) -> Tensor:
    """The scores [n, M] of the candidates before the re-ranker, without logQ correction.

    alone: what `taste_alone` says, through which no gradient is to go: V and p stay what histories
    make them. E and b learn to add to that; the query learns from both. What mixes the parts (ω, θ,
    α, ρ) learns out of sample.
    """
    served = item_tables(parameters, tasks)
    query = queries(served, tasks.window, tasks.gaps, starts(parameters, tasks))
    rows = tasks.candidates.clamp(min=0)
    beyond = functional.embedding(rows, served["embedding"]) @ query[:, :, None]
    share = out_of_sample(parameters["taste"], tasks)
    taste = beyond.squeeze(-1) + served["bias"][rows] + share * alone
    feature_weights = tasks.situation @ parameters["theta"].T
    feature_weights = feature_weights + own_weights(parameters, tasks.feature_weights)
    told = tasks.features @ out_of_sample(feature_weights, tasks)[:, :, None]
    return taste + told.squeeze(-1)


def residuals(parameters: Parameters, tasks: Tasks, first: Tensor) -> Tensor:
    """What the re-ranker says [n, M] about candidates of these scores; 0 where it did not look."""
    weights, features = parameters["rerank_first"], tasks.features.shape[2]
    score = RERANK_SCORE_SCALE * first.clamp(-RERANK_SCORE_LIMIT, RERANK_SCORE_LIMIT)
    common = tasks.situation @ weights[features + 1 :] + parameters["rerank_first_bias"]
    hidden = tasks.features @ weights[:features] + score[:, :, None] * weights[features]
    hidden = torch.relu(hidden + common[:, None, :])
    hidden = torch.relu(hidden @ parameters["rerank_second"] + parameters["rerank_second_bias"])
    return (hidden @ parameters["rerank_last"]) * tasks.reranked


@dataclass(frozen=True, slots=True)
class Scores:
    """Of the candidates of n events, with their logQ correction; padding is -infinity."""

    first: Tensor
    """[n, M] before the re-ranker."""
    residual: Tensor
    """[n, M] what it says of them, having seen `first` as it is: no gradient goes back there."""

    def of_share(self, share: Tensor | float) -> Tensor:
        """The scores [n, M] with a share of the re-ranker's word."""
        return self.first + share * self.residual


def scores(parameters: Parameters, tasks: Tasks) -> Scores:
    """The scores of the candidates."""
    with torch.no_grad():
        alone = taste_alone(parameters, tasks)
    first = first_scores(parameters, tasks, alone)
    residual = residuals(parameters, tasks, first.detach())
    corrected = (first + tasks.log_q).masked_fill(tasks.candidates < 0, -math.inf)
    return Scores(corrected, residual)


def losses_by_share(found: Scores) -> Tensor:
    """The losses [shares, n] with each of SHARES of the re-ranker."""
    return torch.stack([_cross_entropy(found.of_share(share)) for share in SHARES])


def served_losses(found: Scores, share: Tensor) -> Tensor:
    """The losses [n] with the share of the re-ranker that is served."""
    return _cross_entropy(found.of_share(share))


def losses_by_temperature(found: Scores, log_q: Tensor, share: Tensor | float) -> Tensor:
    """The losses [temperatures, n] with each of LOG_TEMPERATURES, at a share of the re-ranker.

    The logQ correction [n, M] stands for how many candidates one is, whatever the temperature.
    """
    plain = found.of_share(share) - log_q
    return torch.stack(
        [_cross_entropy(plain * math.exp(-each) + log_q) for each in LOG_TEMPERATURES]
    )


def training_losses(parameters: Parameters, tasks: Tasks) -> tuple[Tensor, Tensor]:
    """What is minimised [n], and the loss [n] of each event as it is served.

    Minimised is the loss without the re-ranker plus the loss with all of it on top of scores that
    it cannot move: so the scores are as good without it, and it may be left out where it errs. It
    learns out of sample, too.
    """
    found = scores(parameters, tasks)
    on_top = Scores(found.first.detach(), out_of_sample(found.residual, tasks))
    minimised = _cross_entropy(found.first) + _cross_entropy(on_top.of_share(1.0))
    with torch.no_grad():
        served = served_losses(on_top, parameters["rerank_share"])
    return minimised, served


def _cross_entropy(total: Tensor) -> Tensor:
    """Of the item that came, in column 0, among all candidates: [n]."""
    return torch.logsumexp(total, 1) - total[:, 0]


def outer_loss(each: Tensor, weights: Tensor, total: Tensor) -> Tensor:
    """The weighted mean of the events' losses, or the part of it that is these events'.

    each, weights: [n]; total: the weight of all events that the mean is of.
    """
    return (each * weights).sum() / total
