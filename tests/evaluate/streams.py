"""Streams for tests: made by hand, drawn by hypothesis, or with something planted in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from metarec_stream.contract.interaction import DEFAULT_TYPES
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.stream import Stream, stream_of


def table_of(
    pairs: Sequence[tuple[str, str]],
    types: Sequence[str | None] | None = None,
    seconds: Sequence[int] | None = None,
) -> EventTable:
    """Events of (user, item), a minute apart unless the seconds are given."""
    times = range(0, 60 * len(pairs), 60) if seconds is None else seconds
    return EventTable(
        user=[user for user, _ in pairs],
        item=[item for _, item in pairs],
        ts=1_000 * np.array(times, np.int64) + 1_500_000_000_000,
        type=None if types is None else list(types),
    )


def stream_from(
    pairs: Sequence[tuple[str, str]], types: Sequence[str | None] | None = None
) -> Stream:
    """The same as a stream, with the built-in types."""
    return stream_of(table_of(pairs, types), DEFAULT_TYPES)


def planted_table(events: int, seed: int) -> EventTable:
    """Users who go round a ring of 12 items of their own among 60: popularity knows nothing."""
    generator = np.random.default_rng(seed)
    places = generator.integers(0, 12, 20)
    pairs = []
    for _ in range(events):
        user = int(generator.integers(20))
        places[user] = (places[user] + 1) % 12
        pairs.append((f"u{user}", f"i{user % 5 * 12 + int(places[user])}"))
    return table_of(pairs)


def grouped_stream(events: int) -> Stream:
    """Users who stay within five of twenty items."""
    generator = np.random.default_rng(0)
    users = generator.integers(0, 40, events).tolist()
    return stream_from(
        [(f"u{user}", f"i{user % 4 * 5 + int(generator.integers(5))}") for user in users]
    )


few_users = st.sampled_from("abcd")
few_items = st.sampled_from("uvwxyz")
few_types = st.sampled_from(["click", "cart", None, "skip"])
some_events = st.lists(st.tuples(few_users, few_items, few_types), min_size=1, max_size=40)
