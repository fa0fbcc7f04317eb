"""A user's own transitions, against what is counted by hand and against a plain count."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from metarec_stream.pipeline.own_transitions import KINDS, own_transitions
from metarec_stream.state.rings import Rings, empty_rings, insert

ITEMS = 6
WEIGHTS = np.array([1.0, -1.0], np.float32)
"""Of a click and of a skip."""
CLICK, SKIP = 0, 1

events = st.lists(
    st.tuples(st.integers(0, ITEMS - 1), st.sampled_from([CLICK, CLICK, CLICK, SKIP])), max_size=30
)


def ring_of(history: list[tuple[int, int]], ring: int = 16) -> Rings:
    """A ring with these items and kinds, oldest first."""
    rings = empty_rings(1, ring)
    for number, (item, kind) in enumerate(history):
        insert(rings, 0, item, kind, float("nan"), 1_000 * number, 0, 0, WEIGHTS)
    return rings


def counted(rings: Rings, hidden: int = -1) -> NDArray[np.float32]:
    """[items, kinds] as the compiled function counts; the place of an item is its number."""
    found = np.zeros((ITEMS, KINDS), np.float32)
    place_of = np.arange(ITEMS, dtype=np.int32)
    if hidden >= 0:
        place_of[hidden] = -1
    own_transitions(rings, 0, WEIGHTS, place_of, found)
    return found


def plainly(history: list[tuple[int, int]], ring: int = 16) -> NDArray[np.float32]:
    """The same from what is said of it."""
    wanted = [item for item, kind in history[-ring:] if kind == CLICK]
    path = [item for at, item in enumerate(wanted) if at == 0 or wanted[at - 1] != item][::-1]
    found = np.zeros((ITEMS, KINDS), np.float32)
    for lag in range(min(3, len(path))):
        for before in range(lag + 1, len(path)):
            if path[before] == path[lag]:
                if before - 1 - lag >= 0:
                    found[path[before - 1 - lag], min(lag, 1)] += 1
                if lag == 0:
                    for item in path[max(before - 4, 0) : before - 1]:
                        found[item, 2] += 1
    return found


def test_who_orders_the_same_list_again_is_told_its_next_line() -> None:
    """After 0 1 2 3 4 and 0 again: 1 follows, 2 to 4 come soon; after 0 1 again, 2 for both."""
    lines = [(item, CLICK) for item in range(5)]
    once = counted(ring_of([*lines, (0, CLICK)]))
    np.testing.assert_array_equal(once[:, 0], [0, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(once[:, 1], 0)
    np.testing.assert_array_equal(once[:, 2], [0, 0, 1, 1, 1, 0])
    twice = counted(ring_of([*lines, (0, CLICK), (1, CLICK)]))
    np.testing.assert_array_equal(twice[:, 0], [0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(twice[:, 1], [0, 0, 1, 0, 0, 0])


def test_what_was_turned_down_or_has_no_place_counts_nowhere() -> None:
    """A skip between two clicks does not part them, and an item without a place is passed over."""
    history = [(0, CLICK), (5, SKIP), (1, CLICK), (2, CLICK), (0, CLICK)]
    assert counted(ring_of(history))[1, 0] == 1
    assert counted(ring_of(history))[5].sum() == 0
    assert counted(ring_of(history), hidden=1).sum() == counted(ring_of(history)).sum() - 1


@given(events)
def test_the_count_is_the_plain_one(history: list[tuple[int, int]]) -> None:
    """For any history, one longer than the ring included; a run of an item counts once."""
    np.testing.assert_array_equal(counted(ring_of(history)), plainly(history))
