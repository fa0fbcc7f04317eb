"""Exact top-k."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.catalogue.top_k import least_of_largest, top_k, top_k_among

FLOOR = np.float32(-100)


@given(st.lists(st.integers(-101, 5), max_size=60), st.integers(1, 12))
def test_top_k_equals_a_full_sort(values: list[int], k: int) -> None:
    """Best first, ties to the lower number, nothing at or below the floor."""
    scores = np.array(values, np.float32)
    items, kept = np.zeros(k, np.int32), np.zeros(k, np.float32)
    count = top_k(scores, len(values), FLOOR, k, items, kept)
    order = sorted((-value, number) for number, value in enumerate(values) if value > FLOOR)
    assert [(-float(kept[p]), int(items[p])) for p in range(count)] == order[:k]


@given(st.lists(st.integers(-101, 5), min_size=1, max_size=60), st.integers(1, 12), st.randoms())
def test_top_k_among_some_equals_a_full_sort_of_these(
    values: list[int], k: int, draw: Random
) -> None:
    """Whatever their order, ties to the lower number; nobody else is in the list."""
    among = draw.sample(range(len(values)), draw.randint(0, len(values)))
    items, kept = np.zeros(k, np.int32), np.zeros(k, np.float32)
    scores = np.array(values, np.float32)
    count = top_k_among(np.array(among, np.int32), scores, FLOOR, k, items, kept)
    order = sorted((-values[number], number) for number in among if values[number] > FLOOR)
    assert [(-float(kept[p]), int(items[p])) for p in range(count)] == order[:k]


@given(
    st.lists(st.sampled_from([0.1, 0.5, 0.7, 1.0, 2.0]) | st.floats(0, 3), min_size=1), st.data()
)
def test_the_least_of_the_largest_is_found(values: list[float], data: st.DataObject) -> None:
    """As by sorting, with equal values and without."""
    count = data.draw(st.integers(1, len(values)))
    assert least_of_largest(np.array(values), count) == sorted(values)[-count]
