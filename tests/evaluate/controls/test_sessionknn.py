"""The control of similar sessions against a plain reading of its definition."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.evaluate.controls import sessionknn
from metarec_stream.evaluate.controls.followed import Mixed
from metarec_stream.evaluate.controls.sessionknn import Similar, rank_by_sessions
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

LENGTH, FADING, HALF_LIFE = 3, 0.5, 5.0


def sessions_before(stream: Stream, row: int) -> list[tuple[int, list[int]]]:
    """User and distinct items of each session before the row; the last of a user's is theirs."""
    sessions: list[tuple[int, list[int]]] = []
    current: dict[int, list[int]] = {}
    for user, item in wanted(stream, row):
        if len(current.get(user, range(LENGTH))) == LENGTH:
            current[user] = []
            sessions.append((user, current[user]))
        if item not in current[user]:
            current[user].append(item)
    return sessions


def similar_sessions(stream: Stream, row: int) -> list[tuple[float, list[int]]]:
    """Similarity and items of the sessions that have something in common with the user's."""
    user, found = stream.users[row], []
    recent = latest_distinct(stream, row)[:LENGTH]
    sessions = sessions_before(stream, row)
    current = dict(sessions).get(user)
    for _, items in sessions:
        common = [rank for rank, item in enumerate(recent) if item in items]
        if common and items is not current:
            weight = sum(math.exp(-FADING * rank) for rank in common)
            found.append((weight / math.sqrt(len(items)), items))
    return found


@given(some_events, protocols, st.sampled_from([0.0, 0.05]), st.sampled_from([0.0, 1.0]))
def test_ranks_are_those_of_similar_sessions(
    events: Events, protocol: Protocol, share: float, again: float
) -> None:
    """Under every protocol, where all sessions with anything in common count."""
    stream = stream_from([(user, item) for user, item, _ in events], [kind for *_, kind in events])

    def scores(row: int) -> dict[int, float]:
        found: defaultdict[int, float] = defaultdict(float)
        for item, popularity in popularity_shares(stream, row, HALF_LIFE).items():
            found[item] = share * popularity
        similar = similar_sessions(stream, row)
        for similarity, items in similar:
            for item in items:
                found[item] += similarity / sum(each for each, _ in similar)
        for item in latest_distinct(stream, row)[:LENGTH]:
            found[item] *= again
        return found

    mixed = Mixed(Similar(LENGTH, 100, FADING), HALF_LIFE, share, again)
    ranked = rank_by_sessions(stream, protocol, mixed, 0, slice(0, len(stream)))
    assert_ranked(ranked, stream, protocol, scores)


def test_only_the_most_similar_sessions_count() -> None:
    """Of one that shares two items and one that shares one, the second says nothing."""
    pairs = [(user, item) for user, items in (("a", "uvw"), ("b", "uyx")) for item in items]
    stream = stream_from([*pairs, ("c", "v"), ("c", "u"), ("c", "w"), ("d", "x"), ("d", "y")])
    row = 8
    for sessions, equal in ((2, 1), (1, 1)):
        mixed = Mixed(Similar(3, sessions, 0.0), HALF_LIFE, 0.0, 1.0)
        ranked = rank_by_sessions(
            stream, Protocol(repeats="mask"), mixed, 0, slice(row, row + 1), 10
        )
        assert (ranked.greater.tolist(), ranked.equal.tolist()) == ([0], [equal])
        assert ranked.lists[0, 0] == stream.items[row]


def test_an_items_latest_sessions_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two users and the own session with the same item: the first user's is not known of it."""
    monkeypatch.setattr(sessionknn, "LATEST_SESSIONS", 2)
    stream = stream_from([("a", "u"), ("a", "v"), ("b", "u"), ("b", "w"), ("c", "u"), ("c", "w")])
    mixed = Mixed(Similar(5, 10, 0.0), HALF_LIFE, 0.0, 1.0)
    ranked = rank_by_sessions(stream, Protocol(repeats="mask"), mixed, 0, slice(5, 6))
    assert (ranked.greater.tolist(), ranked.equal.tolist()) == ([0], [1])


def test_groups_of_items_are_learned() -> None:
    """Users who stay within five of twenty items: the target is among the first five."""
    stream, protocol = grouped_stream(1_000), Protocol(score_from=0.8)
    ranked = sessionknn.sessionknn(stream, protocol, 0)
    assert ranked.rows.tolist() == stream.scored(protocol).tolist()
    assert np.mean(ranks(ranked, "mid") <= 5) > 0.9
