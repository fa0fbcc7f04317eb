"""How value vectors are learned: from a user's window, every item is predicted by the older ones.

A window of L items is L predictions at the price of one (the loss at every prefix of sequence
models: Hidasi et al. 2016, Kang and McAuley 2018), among candidates that all of them share. Nothing
but taste takes part, so that it learns all that histories tell, and not only what popularity and
co-occurrence leave over.

Letters: k events, T = L predictions an event, P = L + 1 places, S shared candidates, K tokens,
R rows in use, d dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from metarec_stream.adapters.value_sum.parameters import (
    AGREEMENT_EPSILON,
    LAYER_NORM_EPSILON,
    LEAST_WEIGHT,
)

Parameters = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Windows whose items are predicted; numbers index the rows in use, -1 pads."""

    items: Tensor
    """int64 [k, P] newest first: the item that came, then the window."""
    times: Tensor
    """[k, P] seconds from each to the event: 0 for the item that came."""
    weights: Tensor
    """[k, T] of the predictions."""
    profile_tokens: Tensor
    """int64 [k, K] tokens of the users' profiles."""
    kept_values: Tensor
    """[k, P, d] what the values are multiplied with: 0 where dropped (`dropped_out`)."""
    kept_queries: Tensor
    """[k, T, d] the same for the queries."""
    shared: Tensor
    """int64 [S] ascending: the rows that compete, all predicted ones among them."""


def spread_events(events: int, most: int) -> NDArray[np.int64]:
    """Numbers of at most `most` events, evenly spread over all."""
    return np.linspace(0, events - 1, min(events, most)).round().astype(np.int64)


def shared_rows(predicted: NDArray[np.int32], rows: int, most: int) -> NDArray[np.int32]:
    """The rows that compete: all in use, or the predicted ones and `most` evenly spread ones.

    So what is wanted often competes more often than its share, and values learn less of mere
    popularity, which the features tell already. Without that bias (the likeliest rows, and a drawn
    part that stands for the rest) taste alone was better and the whole score was not.
    """
    if rows <= most:
        return np.arange(rows, dtype=np.int32)
    some = np.linspace(0, rows - 1, most).round().astype(np.int32)
    return np.union1d(predicted[predicted >= 0], some)


def dropped_out(
    shape: tuple[int, ...], rate: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Dropout's factors (Srivastava et al. 2014): 0 with chance `rate`, else 1 / (1 - rate)."""
    if rate == 0:
        return np.ones(shape, np.float32)
    kept = generator.random(shape, dtype=np.float32) >= rate
    return kept.astype(np.float32) / np.float32(1 - rate)


def weighted_sums(
    parameters: Parameters, values: Tensor, lag: Tensor, elapsed: Tensor, heard: Tensor
) -> Tensor:
    """What the fast weights add to the start of each query [n, T, d].

    values: [n, P, d] of the items; lag: [T, P] steps from a query back to an item; elapsed: seconds
    [n, T, P]; heard: bool, broadcast to [n, T, P]: the items that a query sums over.
    """
    log_step = functional.logsigmoid(parameters["step_decay"])[:, None, None]
    rate = torch.exp(-parameters["log_time_scale"])[:, None, None]
    weights = torch.exp(log_step * lag - rate * elapsed[:, None]) * heard[:, None]
    loud = torch.where(weights > LEAST_WEIGHT, weights, 0.0)
    sums = (loud @ values[:, None]) * torch.rsqrt(1.0 + weights.sum(-1, keepdim=True))
    sums = sums.transpose(1, 2)
    believed = sums * gates(parameters, sums)[..., None]
    return believed.flatten(2) @ parameters["mixing"].flatten(0, 1)


def gates(parameters: Parameters, sums: Tensor) -> Tensor:
    """How far each of the sums [n, T, H, d] is believed, by how they agree: [n, T, H]."""
    unit = sums * torch.rsqrt(sums.square().sum(-1, keepdim=True) + AGREEMENT_EPSILON)
    scales = sums.shape[2]
    first, second = torch.triu_indices(scales, scales, 1, device=sums.device)
    cosines = (unit @ unit.transpose(-1, -2))[:, :, first, second]
    return 2.0 * torch.sigmoid(cosines @ parameters["agreement"].T)


def normalised(parameters: Parameters, before: Tensor) -> Tensor:
    """LayerNorm of the last axis, times gain."""
    shape = parameters["gain"].shape
    return functional.layer_norm(before, shape, weight=parameters["gain"], eps=LAYER_NORM_EPSILON)


def prefix_queries(parameters: Parameters, prefixes: Prefixes, start: Tensor) -> Tensor:
    """The query [k, T, d] from which each item is predicted; start: [d] or [k, d]."""
    places = prefixes.items.shape[1]
    place = torch.arange(places, device=prefixes.items.device)
    lag = place[None, :] - place[:-1, None] - 1
    times = prefixes.times.clamp(min=0.0)
    elapsed = (times[:, None, :] - times[:, :-1, None]).clamp(min=0.0)
    heard = (lag >= 0) & (prefixes.items >= 0)[:, None, :]
    values = functional.embedding(prefixes.items.clamp(min=0), parameters["value"])
    values = values * prefixes.kept_values
    mixed = weighted_sums(parameters, values, lag.clamp(min=0), elapsed, heard)
    return normalised(parameters, mixed + (start if start.ndim == 1 else start[:, None]))


def prefix_loss(parameters: Parameters, prefixes: Prefixes, start: Tensor) -> Tensor:
    """The sum over all predictions of weight times softmax cross-entropy.

    parameters: the tables' rows in use as they are served.
    """
    asked = prefixes.items[:, :-1] >= 0
    queries = (prefix_queries(parameters, prefixes, start) * prefixes.kept_queries)[asked]
    shared = prefixes.shared
    logits = queries @ parameters["value"][shared].T + parameters["prior"][shared]
    targets = torch.searchsorted(shared, prefixes.items[:, :-1][asked])
    each = functional.cross_entropy(logits, targets, reduction="none")
    return (each * prefixes.weights[asked]).sum()


def prediction_weights(
    items: NDArray[np.int32], weights: NDArray[np.floating], half_life: float
) -> NDArray[np.float32]:
    """The weights [k, T] of predicting the items [k, P]: that of the event, 0 where none is asked.

    half_life: places back in the window after which a prediction counts half; infinity for all
    alike.
    """
    places = np.arange(items.shape[1] - 1)
    asked = items[:, :-1] >= 0
    return (asked * weights[:, None] * 0.5 ** (places / half_life)).astype(np.float32)
