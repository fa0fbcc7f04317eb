"""The control of transitions against a plain reading of its definition."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.evaluate.controls.markov import markov, rank_by_transitions
from metarec_stream.evaluate.controls.related import Blend
from metarec_stream.evaluate.metrics import ranks
from metarec_stream.evaluate.protocol import Protocol
from tests.evaluate.controls.plain import (
    Events,
    assert_ranked,
    latest_distinct,
    popularity_shares,
    protocols,
    wanted,
)
from tests.evaluate.streams import some_events, stream_from


@given(some_events, protocols, st.sampled_from([0.001, 0.5]))
def test_ranks_are_those_of_decayed_transitions(
    events: Events, protocol: Protocol, share: float
) -> None:
    """Under every protocol: transitions from the latest item, and popularity's share."""
    stream = stream_from([(user, item) for user, item, _ in events], [kind for *_, kind in events])

    def scores(row: int) -> dict[int, float]:
        found: defaultdict[int, float] = defaultdict(float)
        for item, popularity in popularity_shares(stream, row, 5.0).items():
            found[item] = share * popularity
        newest = latest_distinct(stream, row)[:1]
        before: dict[int, int] = {}
        past = wanted(stream, row)
        for at, (user, item) in enumerate(past):
            if [before.get(user)] == newest and before[user] != item:
                found[item] += 0.5 ** ((len(past) - 1 - at) / 2.0)
            before[user] = item
        return found

    ranked = rank_by_transitions(stream, protocol, Blend(2.0, 5.0, share), 0, slice(0, len(stream)))
    assert_ranked(ranked, stream, protocol, scores)


def test_a_ring_of_items_is_learned_by_transitions() -> None:
    """After one round what follows comes first, also through the control's own choices."""
    stream = stream_from([("a", f"i{row % 7}") for row in range(200)])
    protocol = Protocol()
    ranked = markov(stream, protocol, 0)
    assert ranked.rows.tolist() == stream.scored(protocol).tolist()
    assert ranks(ranked, "mid").mean() == pytest.approx(1.0)
    assert ranked.lists[:, 0].tolist() == stream.items[100:].tolist()
