"""The value-sum adapter's online half."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from metarec_stream.adapters.protocol import FastWeights
from metarec_stream.adapters.value_sum.adapter import ValueSum
from metarec_stream.adapters.value_sum.online import ValueSumWeights
from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.catalogue.settings import CONTEXT_SLOTS
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.errors import Degraded
from metarec_stream.pipeline.adapt import (
    Events,
    adapt_events,
    empty_steps,
    empty_trail,
    windows_of,
)
from metarec_stream.pipeline.snapshots import empty_snapshots
from metarec_stream.state.rings import Rings, empty_rings

WINDOW, RING, ITEMS, DAY_MS = 4, 6, 5, 86_400_000
SETTINGS = ValueSumSettings(dimensions=6, time_scales=3, window=WINDOW)
ADAPTER = ValueSum(SETTINGS, ("popularity_500", "popularity_5000", "in_ring",
                              "transition_from_latest", "cooccurrence_weighted"), 8)  # fmt: skip
WEIGHTS = np.array([1.0, -1.0], np.float32)
NUMBERS = {f"i{number}": number for number in range(ITEMS)}
START = np.random.default_rng(3).normal(size=(ITEMS, 6)).astype(np.float32)
AGREEMENT = np.random.default_rng(4).normal(size=(3, 3)).astype(np.float32)

streams = st.lists(
    st.tuples(st.integers(0, ITEMS - 1), st.integers(0, 1), st.integers(-DAY_MS, 2 * DAY_MS)),
    min_size=1,
    max_size=25,
)


def events_of(stream: list[tuple[int, int, int]]) -> Events:
    """Events of user 0: (item, kind, time since the one before)."""
    count = len(stream)
    items, kinds, gaps = (np.array(column) for column in zip(*stream, strict=True))
    return Events(
        user=np.zeros(count, np.int64), item=items.astype(np.int32), kind=kinds.astype(np.int8),
        value=np.zeros(count), time=10**12 + np.cumsum(gaps), context=np.zeros(count, np.uint32),
        buckets=np.full((count, CONTEXT_SLOTS), -1, np.int16),
        event=np.zeros(count, np.uint64), sampled=np.zeros(count, np.bool_),
        answered=np.ones(count, np.bool_), applied=np.ones(count, np.bool_),
        seed=np.zeros(count, np.uint64),
    )  # fmt: skip


def followed(
    slow: ValueSumWeights, events: Events, rings: Rings, fast: FastWeights
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The queries after each event, and the moments they are for."""
    steps, trail = empty_steps(events, WINDOW), empty_trail(len(events.user))
    snapshots = empty_snapshots(len(events.user), RING, WINDOW)
    mark = np.full(ITEMS, -1, np.int32)
    adapt_events(events, rings, WEIGHTS, mark, steps, trail, snapshots)
    queries = np.zeros((len(events.user), 6), np.float32)
    ADAPTER.follow(slow, fast, steps, snapshots.time, queries)
    return queries, snapshots.time


def no_fast_weights() -> FastWeights:
    """Of one user, not made yet."""
    size = ADAPTER.fast_size
    return FastWeights(
        np.zeros((1, size), np.float32), np.zeros(1, np.int64), np.full(1, -1, np.int64)
    )


def slow_weights() -> ValueSumWeights:
    """Version 0's, with sums that are believed by how they agree."""
    slow = ADAPTER.slow_weights(ADAPTER.version_zero(), NUMBERS, START)
    return slow._replace(agreement=AGREEMENT)


def query_by_the_book(rings: Rings, now: int) -> NDArray[np.float64]:
    """The query as `parameters` defines it, summed over the window in plain numpy."""
    given = {name: array.astype(float) for name, array in ADAPTER.version_zero().parameters.items()}
    items, times, lengths = windows_of(rings, np.zeros(1, np.int64), WEIGHTS, WINDOW)
    sums = np.zeros((3, 6))
    for scale in range(3):
        total, weights = np.zeros(6), 0.0
        step = 1 / (1 + np.exp(-given["step_decay"][scale]))
        for place in range(lengths[0]):
            age = (now - times[0, place]) / 1_000 / np.exp(given["log_time_scale"][scale])
            weight = step**place * np.exp(-age)
            total += weight * START[items[0, place]]
            weights += weight
        sums[scale] = total / np.sqrt(1 + weights)
    units = sums / np.sqrt((sums**2).sum(1, keepdims=True) + 1e-8)
    cosines = np.array([units[0] @ units[1], units[0] @ units[2], units[1] @ units[2]])
    believed = sums * (2 / (1 + np.exp(-AGREEMENT @ cosines)))[:, None]
    mixed = given["start"] + np.einsum("hd,hde->e", believed, given["mixing"])
    spread = np.sqrt(((mixed - mixed.mean()) ** 2).mean() + 1e-5)
    return np.asarray(given["gain"] * (mixed - mixed.mean()) / spread)


@given(streams)
def test_following_events_equals_summing_the_window_anew(
    stream: list[tuple[int, int, int]],
) -> None:
    """In order, late, repeated and unwanted events: the moved sums stay those of the ring."""
    slow = slow_weights()
    rings, fast = empty_rings(1, RING), no_fast_weights()
    queries, moments = followed(slow, events_of(stream), rings, fast)
    expected = query_by_the_book(rings, int(moments[-1]))
    np.testing.assert_allclose(queries[-1], expected, atol=2e-3)

    anew = no_fast_weights()
    windows = windows_of(rings, np.zeros(1, np.int64), WEIGHTS, WINDOW)
    ADAPTER.rebuild(slow, anew, np.zeros(1, np.int64), *windows)
    assert anew.version[0] == 0
    assert fast.time[0] == anew.time[0] or windows[2][0] == 0
    np.testing.assert_allclose(fast.values, anew.values, atol=2e-4)


@pytest.mark.parametrize("seed", range(5))
def test_what_leaves_the_window_leaves_the_sums(seed: int) -> None:
    """A long run of new items in order: the sums are those of the last few alone."""
    draw = np.random.default_rng(seed)
    stream = [(number % ITEMS, 0, int(draw.integers(60_000))) for number in range(60)]
    slow = slow_weights()
    rings, fast = empty_rings(1, RING), no_fast_weights()
    queries, moments = followed(slow, events_of(stream), rings, fast)
    np.testing.assert_allclose(queries[-1], query_by_the_book(rings, int(moments[-1])), atol=2e-3)


@given(streams, st.integers(0, 25))
def test_following_does_not_depend_on_batches(stream: list[tuple[int, int, int]], cut: int) -> None:
    """One batch or two: the same queries, bit for bit."""
    slow = slow_weights()
    events = events_of(stream)
    whole, _ = followed(slow, events, empty_rings(1, RING), no_fast_weights())
    rings, fast = empty_rings(1, RING), no_fast_weights()
    both = (slice(0, cut), slice(cut, None))
    parts = [Events._make(column[piece] for column in events) for piece in both]
    queries = [followed(slow, part, rings, fast)[0] for part in parts if len(part.user)]
    np.testing.assert_array_equal(np.concatenate(queries), whole)


def test_a_new_taste_can_be_believed_at_once() -> None:
    """Where the newest item points away from all others, the sum over all may count for nothing."""
    start = np.zeros((ITEMS, 6), np.float32)
    start[0, 0], start[1, 0] = 1.0, -1.0
    slow = ADAPTER.slow_weights(ADAPTER.version_zero(), NUMBERS, start)
    pair_of_first_and_last = 1
    agreement = np.zeros((3, 3), np.float32)
    agreement[2, pair_of_first_and_last] = 20.0
    same, moved = [(0, 0, 1_000)] * 2, [(0, 0, 1_000), (2, 0, 1_000), (0, 0, 1_000), (1, 0, 1_000)]

    def first_axis(stream: list[tuple[int, int, int]], agreement: NDArray[np.float32]) -> float:
        weights = slow._replace(agreement=agreement)
        queries, _ = followed(weights, events_of(stream), empty_rings(1, RING), no_fast_weights())
        return float(queries[-1, 0])

    never = np.zeros((3, 3), np.float32)
    assert first_axis(moved, agreement) < first_axis(moved, never)
    assert first_axis(same, agreement) > 0


def test_known_items_take_the_version_s_rows_and_others_their_start() -> None:
    """Rows are laid out by local number, whatever their order in the version."""
    zero = ADAPTER.version_zero()
    tables = {
        "value": np.full((2, 6), 7, np.float32),
        "embedding": np.array([[1] * 6, [2] * 6], np.float32),
        "bias": np.array([3, 4], np.float32),
        "prior": np.array([10, 20], np.float32),
        "taste": np.array([0.5], np.float32),
    }
    version = MetaVersion(5, 0, ADAPTER.name, ["i3", "elsewhere"], {**zero.parameters, **tables})
    slow = ADAPTER.slow_weights(version, NUMBERS, START)
    np.testing.assert_array_equal(slow.value[3], np.full(6, 7))
    np.testing.assert_array_equal(slow.value[1], START[1])
    assert slow.bias.tolist() == [0, 0, 0, 3 + 0.5 * 10, 0]
    assert slow.embedding[0].tolist() == [0, 0, 0, 1 + 0.5 * 7, 0]
    grown = ADAPTER.grow(slow, 9)
    ADAPTER.place_item(grown, 7, START[0], version, 1)
    assert grown.bias[7] == 4 + 0.5 * 20
    assert grown.embedding[0, 7] == 2 + 0.5 * 7
    np.testing.assert_array_equal(grown.value[3], slow.value[3])


@pytest.mark.parametrize(
    ("name", "array"),
    [("gain", np.ones(5, np.float32)), ("bias", np.zeros(1, np.float32)),
     ("start", np.full(6, np.nan, np.float32))],
)  # fmt: skip
def test_a_version_that_does_not_fit_is_refused(name: str, array: NDArray[np.float32]) -> None:
    """Wrong shapes and NaN are Degraded, naming the parameter."""
    zero = ADAPTER.version_zero()
    version = MetaVersion(1, 0, ADAPTER.name, [], {**zero.parameters, name: array})
    with pytest.raises(Degraded, match=name):
        ADAPTER.slow_weights(version, NUMBERS, START)
