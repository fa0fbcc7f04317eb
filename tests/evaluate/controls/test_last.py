"""The control of own items by recency against a plain reading of its definition."""

from __future__ import annotations

from hypothesis import given

from metarec_stream.evaluate.controls.last import last, rank_by_recency
from metarec_stream.evaluate.protocol import Protocol
from tests.evaluate.controls.plain import (
    Events,
    assert_ranked,
    latest_distinct,
    popularity_shares,
    protocols,
)
from tests.evaluate.streams import some_events, stream_from


@given(some_events, protocols)
def test_ranks_are_those_of_recency_then_popularity(events: Events, protocol: Protocol) -> None:
    """Under every protocol; a repeat moves its item to the front."""
    stream = stream_from([(user, item) for user, item, _ in events], [kind for *_, kind in events])

    def scores(row: int) -> dict[int, float]:
        own = latest_distinct(stream, row)
        recency = {item: 1_000.0 - rank for rank, item in enumerate(own)}
        return popularity_shares(stream, row, 5.0) | recency

    ranked = rank_by_recency(stream, protocol, 5.0, 0, slice(0, len(stream)))
    assert_ranked(ranked, stream, protocol, scores)


def test_lists_begin_with_the_users_own() -> None:
    """Newest first, then what others wanted most; popularity alone would say otherwise."""
    pairs = [("a", "x"), ("a", "y"), ("a", "x"), ("b", "w"), ("b", "z"), ("c", "z"), ("a", "y")]
    shown = last(stream_from(pairs), Protocol(score_from=6 / 7), 0).lists
    assert shown[0].tolist() == [0, 1, 3, 2, -1, -1, -1, -1, -1, -1]
