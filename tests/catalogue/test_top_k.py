"""Exact top-k."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.catalogue.top_k import top_k

FLOOR = np.float32(-100)


@given(st.lists(st.integers(-101, 5), max_size=60), st.integers(1, 12))
def test_top_k_equals_a_full_sort(values: list[int], k: int) -> None:
    """Best first, ties to the lower number, nothing at or below the floor."""
    scores = np.array(values, np.float32)
    items, kept = np.zeros(k, np.int32), np.zeros(k, np.float32)
    count = top_k(scores, len(values), FLOOR, k, items, kept)
    order = sorted((-value, number) for number, value in enumerate(values) if value > FLOOR)
    assert [(-float(kept[p]), int(items[p])) for p in range(count)] == order[:k]
