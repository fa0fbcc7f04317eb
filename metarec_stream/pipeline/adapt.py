"""Step 2b of a batch, compiled: events into the rings, with snapshots before and after.

Reads and writes hard state only. What an event does to the user's window is written down as
steps, which the adapter then follows.

Letters: n events, R snapshots, K ring, L window, C situation.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from metarec_stream.adapters.protocol import NOTHING, PUSH, REBUILD, REFRESH, Steps
from metarec_stream.catalogue.neighbours import WIDE_COMPANIONS
from metarec_stream.compiled import compiled
from metarec_stream.pipeline.snapshots import Snapshots, take_snapshot
from metarec_stream.state.rings import Rings, insert, window_of


class Events(NamedTuple):
    """The accepted events of a batch, in order."""

    user: NDArray[np.int64]
    item: NDArray[np.int32]
    kind: NDArray[np.int8]
    value: NDArray[np.float64]
    time: NDArray[np.int64]
    context: NDArray[np.uint32]
    buckets: NDArray[np.int16]
    """[n, context slots] of the entries of its context that popularity is kept apart by."""
    event: NDArray[np.uint64]
    sampled: NDArray[np.bool_]
    """Whether it is ranked before it is applied."""
    answered: NDArray[np.bool_]
    """Whether a list is made after it."""
    applied: NDArray[np.bool_]
    """Whether it happens; where not, it is only ranked."""
    seed: NDArray[np.uint64]
    """Of what is drawn for it."""


class Trail(NamedTuple):
    """What the soft state needs of each event."""

    recent: NDArray[np.int32]
    """[n, WIDE_COMPANIONS] the user's newest distinct items before the event."""
    recent_length: NDArray[np.int32]
    """[n]."""
    in_order: NDArray[np.bool_]
    """[n] whether the event was not older than the user's newest."""


class Adapted(NamedTuple):
    """What inserting a batch's events gave."""

    steps: Steps
    trail: Trail
    snapshots: Snapshots
    queries: NDArray[np.float32]
    """[R, d] by snapshot."""

    def of(self, chosen: NDArray[np.bool_]) -> Adapted:
        """The same for some of the events [n] alone."""
        return self._replace(steps=picked(self.steps, chosen), trail=picked(self.trail, chosen))


Columns = TypeVar("Columns", bound=tuple[NDArray[Any], ...])


def picked(columns: Columns, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Columns:
    """A named tuple of arrays over events, with the chosen events alone, by mask or number."""
    return type(columns)(*(column[chosen] for column in columns))


def empty_steps(events: Events, window: int) -> Steps:
    """Steps of these events, none of which has done anything yet."""
    count = len(events.user)
    return Steps(
        user=events.user,
        item=events.item,
        time=events.time,
        change=np.zeros(count, np.int8),
        leaving=np.full(count, -1, np.int32),
        leaving_time=np.zeros(count, np.int64),
        window=np.full((count, window), -1, np.int32),
        window_time=np.zeros((count, window), np.int64),
        window_length=np.zeros(count, np.int32),
        before=np.full(count, -1, np.int32),
        after=np.full(count, -1, np.int32),
    )


def empty_trail(count: int) -> Trail:
    """Room for this many events."""
    return Trail(
        recent=np.zeros((count, WIDE_COMPANIONS), np.int32),
        recent_length=np.zeros(count, np.int32),
        in_order=np.zeros(count, np.bool_),
    )


@compiled
def recent_items(
    rings: Rings, user: int, weights: NDArray[np.float32], recent: NDArray[np.int32]
) -> int:
    """The user's newest distinct wanted items into `recent`; returns how many there are."""
    found = 0
    for place in range(rings.length[user]):
        if weights[rings.kind[user, place]] <= 0:
            continue
        item = rings.item[user, place]
        known = False
        for other in range(found):
            if recent[other] == item:
                known = True
                break
        if not known:
            recent[found] = item
            found += 1
            if found == recent.shape[0]:
                break
    return found


@compiled
def _change_of(
    wanted: bool,
    in_order: bool,
    item: int,
    length: int,
    newest: int,
    length_after: int,
    window: int,
) -> int:
    """How the window got from `length` entries to `length_after`."""
    if not in_order:
        return REBUILD
    if not wanted:
        return NOTHING if length_after == length else REBUILD
    if length > 0 and newest == item:
        return REFRESH if length_after == length else REBUILD
    return PUSH if length_after == min(length + 1, window) else REBUILD


@compiled
def adapt_events(
    events: Events,
    rings: Rings,
    weights: NDArray[np.float32],
    mark: NDArray[np.int32],
    steps: Steps,
    trail: Trail,
    snapshots: Snapshots,
) -> None:
    """Insert the events in order, taking the snapshots that they ask for."""
    window = steps.window.shape[1]
    items = np.zeros(window, np.int32)
    times = np.zeros(window, np.int64)
    taken = 0
    for number in range(events.user.shape[0]):
        user = events.user[number]
        time = events.time[number]
        wanted = weights[events.kind[number]] > 0
        newest_time = rings.time[user, 0] if rings.length[user] > 0 else time
        in_order = time >= newest_time
        trail.in_order[number] = in_order
        length = window_of(rings, user, weights, items, times)
        if wanted and in_order:
            trail.recent_length[number] = recent_items(rings, user, weights, trail.recent[number])
            if events.sampled[number]:
                take_snapshot(
                    snapshots, taken, rings, user, time, weights, mark, items, times, length
                )
                snapshots.buckets[taken] = events.buckets[number]
                steps.before[number] = taken
                taken += 1
        if not events.applied[number]:
            continue
        newest = items[0]
        leaving = items[window - 1]
        leaving_time = times[window - 1]
        insert(
            rings,
            user,
            events.item[number],
            events.kind[number],
            events.value[number],
            time,
            events.context[number],
            events.event[number],
            weights,
        )
        after = window_of(rings, user, weights, steps.window[number], steps.window_time[number])
        steps.window_length[number] = after
        change = _change_of(wanted, in_order, events.item[number], length, newest, after, window)
        steps.change[number] = change
        if change == PUSH and length == window:
            steps.leaving[number] = leaving
            steps.leaving_time[number] = leaving_time
        if events.answered[number]:
            take_snapshot(
                snapshots,
                taken,
                rings,
                user,
                max(time, newest_time),
                weights,
                mark,
                steps.window[number],
                steps.window_time[number],
                after,
            )
            snapshots.buckets[taken] = events.buckets[number]
            steps.after[number] = taken
            taken += 1


@compiled
def windows_of(
    rings: Rings, users: NDArray[np.int64], weights: NDArray[np.float32], window: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    """The windows of some users: items [n, L], their times [n, L], and lengths [n]."""
    items = np.full((users.shape[0], window), -1, np.int32)
    times = np.zeros((users.shape[0], window), np.int64)
    lengths = np.zeros(users.shape[0], np.int32)
    for number in range(users.shape[0]):
        lengths[number] = window_of(rings, users[number], weights, items[number], times[number])
    return items, times, lengths
