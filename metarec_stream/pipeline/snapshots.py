"""A user as of a moment, compiled: all that ranking needs beside the soft state.

Letters: N items (capacity), R snapshots, K ring, L window, C situation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.catalogue.settings import CONTEXT_SLOTS
from metarec_stream.compiled import compiled
from metarec_stream.pipeline.features import SITUATION
from metarec_stream.pipeline.own_transitions import KINDS, own_transitions
from metarec_stream.state.rings import Rings, distinct_of, rejected_of

_FAST, _SLOW = 0.5, 0.1
_BITS = 64


class Snapshots(NamedTuple):
    """A user as of a moment: what ranking needs beside the soft state."""

    user: NDArray[np.int64]
    time: NDArray[np.int64]
    """[R] the moment, milliseconds."""
    items: NDArray[np.int32]
    """[R, K] distinct items of the ring by recency."""
    times: NDArray[np.int64]
    """[R, K] newest time of each."""
    counts: NDArray[np.int32]
    """[R, K] how often each is in the ring."""
    length: NDArray[np.int32]
    """[R] how many there are."""
    own_transitions: NDArray[np.float32]
    """[R, K, kinds] how often the user took each after what they have just had."""
    rejected: NDArray[np.int32]
    """[R, K] items whose newest event of the user has a negative weight; not among `items`."""
    rejection: NDArray[np.float32]
    """[R, K] that weight."""
    rejections: NDArray[np.int32]
    """[R] how many there are."""
    earlier: NDArray[np.int64]
    """[R] the user's wanted interactions so far."""
    situation: NDArray[np.float32]
    """[R, C]."""
    buckets: NDArray[np.int16]
    """[R, context slots] of the event's context, before it and after it."""
    window: NDArray[np.int32]
    """[R, L] -1 pads."""
    gaps: NDArray[np.float32]
    """[R, L] seconds."""


def empty_snapshots(rows: int, ring: int, window: int) -> Snapshots:
    """Room for this many snapshots."""
    return Snapshots(
        user=np.zeros(rows, np.int64),
        time=np.zeros(rows, np.int64),
        items=np.zeros((rows, ring), np.int32),
        times=np.zeros((rows, ring), np.int64),
        counts=np.zeros((rows, ring), np.int32),
        length=np.zeros(rows, np.int32),
        own_transitions=np.zeros((rows, ring, KINDS), np.float32),
        rejected=np.zeros((rows, ring), np.int32),
        rejection=np.zeros((rows, ring), np.float32),
        rejections=np.zeros(rows, np.int32),
        earlier=np.zeros(rows, np.int64),
        situation=np.zeros((rows, len(SITUATION)), np.float32),
        buckets=np.zeros((rows, CONTEXT_SLOTS), np.int16),
        window=np.full((rows, window), -1, np.int32),
        gaps=np.zeros((rows, window), np.float32),
    )


@compiled
def _average_of_bits(bits: np.uint64, rate: float) -> float:
    average = 0.0
    share = rate
    for step in range(_BITS):
        if (bits >> np.uint64(step)) & np.uint64(1):
            average += share
        share *= 1.0 - rate
    return average


@compiled
def _situation(rings: Rings, user: int, now: int, situation: NDArray[np.float32]) -> None:
    wanted = rings.wanted[user]
    log_gap = 0.0
    if rings.length[user] > 0:
        log_gap = math.log1p(max(now - rings.time[user, 0], 0) / 1000.0)
    situation[0] = 1.0
    situation[1] = math.log1p(wanted) / 4.0
    situation[2] = 1.0 if wanted == 0 else 0.0
    situation[3] = 1.0 if wanted == 1 else 0.0
    situation[4] = log_gap / 8.0
    situation[5] = max(0.0, log_gap - 7.0) / 4.0
    situation[6] = _average_of_bits(rings.repeats[user], _FAST)
    situation[7] = _average_of_bits(rings.repeats[user], _SLOW)


@compiled
def _reject(
    snapshots: Snapshots,
    row: int,
    rings: Rings,
    user: int,
    weights: NDArray[np.float32],
    mark: NDArray[np.int32],
) -> None:
    """Note what the user turned down last, and take it out of what they wanted."""
    count = rejected_of(
        rings, user, weights, mark, snapshots.rejected[row], snapshots.rejection[row]
    )
    snapshots.rejections[row] = count
    if count == 0:
        return
    for place in range(count):
        mark[snapshots.rejected[row, place]] = place
    kept = 0
    for place in range(snapshots.length[row]):
        item = snapshots.items[row, place]
        if mark[item] >= 0:
            continue
        snapshots.items[row, kept] = item
        snapshots.times[row, kept] = snapshots.times[row, place]
        snapshots.counts[row, kept] = snapshots.counts[row, place]
        kept += 1
    snapshots.length[row] = kept
    for place in range(count):
        mark[snapshots.rejected[row, place]] = -1


@compiled
def _note_own_transitions(
    snapshots: Snapshots,
    row: int,
    rings: Rings,
    user: int,
    weights: NDArray[np.float32],
    mark: NDArray[np.int32],
) -> None:
    length = snapshots.length[row]
    found = snapshots.own_transitions[row, :length]
    found[:] = np.float32(0)
    for place in range(length):
        mark[snapshots.items[row, place]] = place
    own_transitions(rings, user, weights, mark, found)
    for place in range(length):
        mark[snapshots.items[row, place]] = -1


@compiled
def take_snapshot(
    snapshots: Snapshots,
    row: int,
    rings: Rings,
    user: int,
    now: int,
    weights: NDArray[np.float32],
    mark: NDArray[np.int32],
    window: NDArray[np.int32],
    window_time: NDArray[np.int64],
    window_length: int,
) -> None:
    """Write a user of the rings down, as of `now` (milliseconds), into a row of the snapshots.

    `mark` is scratch, one entry an item, -1 throughout before and after.
    """
    snapshots.user[row] = user
    snapshots.time[row] = now
    snapshots.earlier[row] = rings.wanted[user]
    snapshots.length[row] = distinct_of(
        rings,
        user,
        weights,
        mark,
        snapshots.items[row],
        snapshots.times[row],
        snapshots.counts[row],
    )
    _reject(snapshots, row, rings, user, weights, mark)
    _note_own_transitions(snapshots, row, rings, user, weights, mark)
    _situation(rings, user, now, snapshots.situation[row])
    for place in range(window_length):
        snapshots.window[row, place] = window[place]
        snapshots.gaps[row, place] = max(now - window_time[place], 0) / 1000.0
