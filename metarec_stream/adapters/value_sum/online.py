"""The value-sum adapter's online half: fast weights as decayed sums of learned value vectors.

A user's fast weights are Z_h = Σ_l w_hl V_l and Σ_l w_hl for H time scales, as of the user's
newest wanted interaction (see `parameters` for the arithmetic). An event moves them in place:
decay, add, and what leaves the window is taken off.

Letters: H time scales, d dimensions, N items (capacity), L window.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.adapters.protocol import (
    NOTHING,
    PUSH,
    REFRESH,
    FastWeights,
    Reranker,
    Steps,
)
from metarec_stream.adapters.value_sum.parameters import AGREEMENT_EPSILON, LAYER_NORM_EPSILON
from metarec_stream.compiled import compiled


class ValueSumWeights(NamedTuple):
    """Slow weights laid out for ranking."""

    value: NDArray[np.float32]
    """[N, d]."""
    embedding: NDArray[np.float32]
    """[d, N] E + ωV."""
    bias: NDArray[np.float32]
    """[N] b + ωp."""
    mixing: NDArray[np.float32]
    """[H, d, d]."""
    start: NDArray[np.float32]
    """[d]."""
    gain: NDArray[np.float32]
    """[d]."""
    step: NDArray[np.float64]
    """[H] σ(step_decay): what a further item back weighs less by."""
    agreement: NDArray[np.float32]
    """[H, pairs of sums]."""
    rate: NDArray[np.float64]
    """[H] 1 / time scale, per millisecond."""
    theta: NDArray[np.float32]
    """[F, C]."""
    feature_step: NDArray[np.float32]
    """[F] α."""
    feature_keep: NDArray[np.float32]
    """[F] ρ."""
    reranker: Reranker
    temperature: NDArray[np.float32]
    """[1]."""
    version: NDArray[np.int64]
    """[1]."""


@compiled
def _decay(slow: ValueSumWeights, scale: int, elapsed_ms: int) -> float:
    return math.exp(-max(elapsed_ms, 0) * slow.rate[scale])


@compiled
def _add(
    slow: ValueSumWeights, values: NDArray[np.float32], scale: int, item: int, weight: float
) -> None:
    dimensions = slow.value.shape[1]
    start = scale * dimensions
    factor = np.float32(weight)
    for axis in range(dimensions):
        values[start + axis] += factor * slow.value[item, axis]
    values[slow.mixing.shape[0] * dimensions + scale] += factor


@compiled
def _shrink(slow: ValueSumWeights, values: NDArray[np.float32], scale: int, factor: float) -> None:
    dimensions = slow.value.shape[1]
    start = scale * dimensions
    for axis in range(dimensions):
        values[start + axis] *= np.float32(factor)
    values[slow.mixing.shape[0] * dimensions + scale] *= np.float32(factor)


@compiled
def _rebuild_one(
    slow: ValueSumWeights,
    fast: FastWeights,
    user: int,
    window: NDArray[np.int32],
    window_time: NDArray[np.int64],
    length: int,
) -> None:
    values = fast.values[user]
    values[:] = np.float32(0)
    fast.version[user] = slow.version[0]
    if length == 0:
        return
    newest = window_time[0]
    fast.time[user] = newest
    for scale in range(slow.mixing.shape[0]):
        back = 1.0
        for place in range(length):
            weight = back * _decay(slow, scale, newest - window_time[place])
            _add(slow, values, scale, window[place], weight)
            back *= slow.step[scale]


@compiled
def rebuild(
    slow: ValueSumWeights,
    fast: FastWeights,
    users: NDArray[np.int64],
    window: NDArray[np.int32],
    window_time: NDArray[np.int64],
    window_length: NDArray[np.int32],
) -> None:
    """Make the fast weights of some users from their windows [n, L]."""
    for number in range(users.shape[0]):
        _rebuild_one(
            slow, fast, users[number], window[number], window_time[number], window_length[number]
        )


@compiled
def _gates(
    slow: ValueSumWeights, values: NDArray[np.float32], factors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """How far each of the sums, values times factors [H], is believed [H], by how they agree."""
    scales, dimensions, _ = slow.mixing.shape
    sums = values[: scales * dimensions].reshape((scales, dimensions))
    unit = np.zeros(scales, np.float32)
    for scale in range(scales):
        square = np.float32(0)
        for axis in range(dimensions):
            square += sums[scale, axis] * sums[scale, axis]
        factor = factors[scale]
        unit[scale] = factor / math.sqrt(square * factor * factor + AGREEMENT_EPSILON)
    told = np.zeros(scales, np.float32)
    pair = 0
    for first in range(scales):
        for second in range(first + 1, scales):
            product = np.float32(0)
            for axis in range(dimensions):
                product += sums[first, axis] * sums[second, axis]
            cosine = product * unit[first] * unit[second]
            for scale in range(scales):
                told[scale] += slow.agreement[scale, pair] * cosine
            pair += 1
    for scale in range(scales):
        told[scale] = 2.0 / (1.0 + math.exp(-told[scale]))
    return told


@compiled
def query(
    slow: ValueSumWeights,
    fast: FastWeights,
    user: int,
    now: int,
    mixed: NDArray[np.float32],
    result: NDArray[np.float32],
) -> None:
    """The user's query vector [d] at a moment; `mixed` [d] is scratch.

    On entry `result` holds what the user's profile adds to the start, zeros for none.
    """
    scales, dimensions, _ = slow.mixing.shape
    values = fast.values[user]
    for axis in range(dimensions):
        mixed[axis] = slow.start[axis] + result[axis]
    factors = np.zeros(scales, np.float32)
    for scale in range(scales):
        decay = _decay(slow, scale, now - fast.time[user])
        total = values[scales * dimensions + scale] * decay
        factors[scale] = decay / math.sqrt(1.0 + total)
    believed = _gates(slow, values, factors)
    for scale in range(scales):
        factor = factors[scale] * believed[scale]
        for source in range(dimensions):
            part = values[scale * dimensions + source] * factor
            for axis in range(dimensions):
                mixed[axis] += part * slow.mixing[scale, source, axis]
    mean = 0.0
    for axis in range(dimensions):
        mean += mixed[axis]
    mean /= dimensions
    variance = 0.0
    for axis in range(dimensions):
        variance += (mixed[axis] - mean) ** 2
    spread = math.sqrt(variance / dimensions + LAYER_NORM_EPSILON)
    for axis in range(dimensions):
        result[axis] = np.float32((mixed[axis] - mean) / spread) * slow.gain[axis]


@compiled
def _step(slow: ValueSumWeights, fast: FastWeights, steps: Steps, number: int) -> None:
    user = steps.user[number]
    change = steps.change[number]
    if change == NOTHING:
        return
    if change != REFRESH and change != PUSH:
        _rebuild_one(
            slow,
            fast,
            user,
            steps.window[number],
            steps.window_time[number],
            steps.window_length[number],
        )
        return
    item = steps.item[number]
    time = steps.time[number]
    values = fast.values[user]
    window = steps.window.shape[1]
    for scale in range(slow.mixing.shape[0]):
        decay = _decay(slow, scale, time - fast.time[user])
        if change == REFRESH:
            _shrink(slow, values, scale, decay)
            _add(slow, values, scale, item, 1.0 - decay)
            continue
        _shrink(slow, values, scale, decay * slow.step[scale])
        _add(slow, values, scale, item, 1.0)
        leaving = steps.leaving[number]
        if leaving >= 0:
            weight = slow.step[scale] ** window * _decay(
                slow, scale, time - steps.leaving_time[number]
            )
            _add(slow, values, scale, leaving, -weight)
    fast.time[user] = time


@compiled
def follow(
    slow: ValueSumWeights,
    fast: FastWeights,
    steps: Steps,
    snapshot_time: NDArray[np.int64],
    queries: NDArray[np.float32],
) -> None:
    """Move the fast weights along the steps; write the query [R, d] of each snapshot.

    On entry `queries` holds what the users' profiles add to the start, zeros for none.
    """
    mixed = np.zeros(slow.start.shape[0], np.float32)
    for number in range(steps.user.shape[0]):
        before = steps.before[number]
        if before >= 0:
            query(slow, fast, steps.user[number], snapshot_time[before], mixed, queries[before])
        _step(slow, fast, steps, number)
        after = steps.after[number]
        if after >= 0:
            query(slow, fast, steps.user[number], snapshot_time[after], mixed, queries[after])
