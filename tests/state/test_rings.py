"""The rings: order, bounds, counters, and what is read off them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.state.rings import (
    Rings,
    distinct_of,
    empty_rings,
    insert,
    rejected_of,
    window_of,
)

WEIGHTS = np.array([1.0, -1.0], np.float32)
"""Kind 0 is wanted, kind 1 is not."""
CAPACITY = 5
Event = tuple[int, int, int]

events = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 20)), max_size=15)


def filled(inserted: list[Event]) -> Rings:
    """The rings of one user after events of (item, kind, time)."""
    rings = empty_rings(1, CAPACITY)
    for item, kind, time in inserted:
        insert(rings, 0, item, kind, 0.5, time, 0, 0, WEIGHTS)
    return rings


def expected(inserted: list[Event]) -> list[Event]:
    """What the ring should hold, newest first: computed event by event with lists."""
    ring: list[Event] = []
    for event in inserted:
        place = sum(held[2] > event[2] for held in ring)
        ring.insert(place, event)
        del ring[CAPACITY:]
    return ring


def held(rings: Rings) -> list[Event]:
    """What the ring holds."""
    count = int(rings.length[0])
    columns = (rings.item[0, :count], rings.kind[0, :count], rings.time[0, :count])
    return [(int(item), int(kind), int(time)) for item, kind, time in zip(*columns, strict=True)]


@given(events)
def test_ring_holds_the_newest_events_in_time_order(inserted: list[Event]) -> None:
    """Late events go to their place in time, equal times by arrival, the oldest fall out."""
    rings = filled(inserted)
    assert held(rings) == expected(inserted)
    assert rings.accepted[0] == len(inserted)
    assert rings.wanted[0] == sum(kind == 0 for _, kind, _ in inserted)


@given(events)
def test_window_is_the_runs_of_wanted_items(inserted: list[Event]) -> None:
    """The window has one entry a run of the same wanted item, with the time of its newest."""
    runs: list[tuple[int, int]] = []
    for item, kind, time in expected(inserted):
        if kind == 0 and (not runs or runs[-1][0] != item):
            runs.append((item, time))
    items, times = np.zeros(3, np.int32), np.zeros(3, np.int64)
    count = window_of(filled(inserted), 0, WEIGHTS, items, times)
    found = [(int(item), int(time)) for item, time in zip(items, times, strict=True)]
    assert found[:count] == runs[:3]


@given(events)
def test_distinct_items_come_with_their_newest_time_and_count(inserted: list[Event]) -> None:
    """Distinct wanted items by recency; the scratch marks are clean afterwards."""
    wanted: dict[int, list[int]] = {}
    for item, kind, time in expected(inserted):
        if kind == 0:
            wanted.setdefault(item, []).append(time)
    mark = np.full(4, -1, np.int32)
    items, times = np.zeros(CAPACITY, np.int32), np.zeros(CAPACITY, np.int64)
    counts = np.zeros(CAPACITY, np.int32)
    count = distinct_of(filled(inserted), 0, WEIGHTS, mark, items, times, counts)
    found = {int(items[place]): (int(times[place]), int(counts[place])) for place in range(count)}
    assert found == {item: (seen[0], len(seen)) for item, seen in wanted.items()}
    assert list(found) == list(wanted)
    assert (mark == -1).all()


def test_repeat_bits_say_which_wanted_events_were_repeats() -> None:
    """The newest event is bit 0; an unwanted event neither counts nor makes a repeat."""
    rings = filled([(1, 0, 1), (2, 1, 2), (1, 0, 3), (2, 0, 4), (2, 0, 5)])
    assert int(rings.repeats[0]) == 0b0101


@given(events)
def test_an_item_is_rejected_by_the_newest_event_on_it(inserted: list[Event]) -> None:
    """Those turned down last, by recency, with the weight; the scratch marks are clean after."""
    newest: dict[int, int] = {}
    for item, kind, _ in expected(inserted):
        newest.setdefault(item, kind)
    mark = np.full(4, -1, np.int32)
    items, strength = np.zeros(CAPACITY, np.int32), np.zeros(CAPACITY, np.float32)
    count = rejected_of(filled(inserted), 0, WEIGHTS, mark, items, strength)
    assert items[:count].tolist() == [item for item, kind in newest.items() if kind == 1]
    assert strength[:count].tolist() == [-1.0] * count
    assert (mark == -1).all()
