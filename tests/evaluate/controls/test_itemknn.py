"""The control of co-occurrence against a plain reading of its definition."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.evaluate.controls.itemknn import itemknn, rank_by_companions
from metarec_stream.evaluate.controls.related import Blend
from metarec_stream.evaluate.metrics import ranks
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream
from tests.evaluate.controls.plain import (
    Events,
    assert_ranked,
    latest_distinct,
    popularity_shares,
    protocols,
    wanted,
)
from tests.evaluate.streams import grouped_stream, some_events, stream_from

many_items = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("abcdefghijklmnop"), st.just("click")),
    min_size=20,
    max_size=40,
)


def together(stream: Stream, row: int, half_life: float) -> dict[tuple[int, int], float]:
    """Of two items, the decayed weight of the second among the companions of the first."""
    past = wanted(stream, row)
    own: defaultdict[int, list[int]] = defaultdict(list)
    found: defaultdict[tuple[int, int], float] = defaultdict(float)
    for at, (user, item) in enumerate(past):
        recent = list(dict.fromkeys(reversed(own[user])))[:10]
        for lag, other in enumerate(recent if recent[:1] != [item] else []):
            if other != item:
                weight = 0.5 ** ((len(past) - 1 - at) / half_life) / (1 + lag)
                found[other, item] += weight
                found[item, other] += weight / 2
        own[user].append(item)
    return found


@given(some_events | many_items, protocols, st.sampled_from([0.001, 0.05]))
def test_ranks_are_those_of_weighted_cosines(
    events: Events, protocol: Protocol, share: float
) -> None:
    """Under every protocol, also where a user has had more items than are looked at."""
    stream = stream_from([(user, item) for user, item, _ in events], [kind for *_, kind in events])

    def scores(row: int) -> dict[int, float]:
        found: defaultdict[int, float] = defaultdict(float)
        for item, popularity in popularity_shares(stream, row, 5.0).items():
            found[item] = share * popularity
        times = Counter(item for _, item in wanted(stream, row))
        pairs = together(stream, row, 2.0)
        for rank, own in enumerate(latest_distinct(stream, row)[:10]):
            for (first, other), weight in pairs.items():
                if first == own:
                    cosine = weight / math.sqrt((times[own] + 10) * (times[other] + 10))
                    found[other] += math.exp(-0.25 * rank) * cosine
        return found

    ranked = rank_by_companions(stream, protocol, Blend(2.0, 5.0, share), 0, slice(0, len(stream)))
    assert_ranked(ranked, stream, protocol, scores)


def test_groups_of_items_are_learned() -> None:
    """Users who stay within five of twenty items: the target is among the first five."""
    stream, protocol = grouped_stream(1_000), Protocol(score_from=0.8)
    ranked = itemknn(stream, protocol, 0)
    assert ranked.rows.tolist() == stream.scored(protocol).tolist()
    assert np.mean(ranks(ranked, "mid") <= 5) > 0.9
