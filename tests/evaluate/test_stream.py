"""Streams: numbers by first appearance, and each user's history as of each event."""

from __future__ import annotations

from hypothesis import given

from metarec_stream.contract.interaction import DEFAULT_TYPES
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import stream_of
from tests.evaluate.streams import some_events, stream_from, table_of


@given(some_events)
def test_history_is_that_of_the_earlier_rows(events: list[tuple[str, str, str | None]]) -> None:
    """Repeat, earlier and the chain of distinct items, against a search through the rows."""
    pairs = [(user, item) for user, item, _ in events]
    stream = stream_from(pairs, [kind for _, _, kind in events])
    for row, (user, item) in enumerate(pairs):
        past = [earlier for earlier, other in enumerate(pairs[:row]) if other[0] == user]
        assert stream.earlier[row] == len(past)
        assert stream.repeat[row] == (item in {pairs[earlier][1] for earlier in past})
        chain, at = [], int(stream.previous[row])
        while at >= 0:
            chain.append(pairs[at][1])
            at = int(stream.previous[at])
        assert sorted(chain) == sorted({pairs[earlier][1] for earlier in past})


@given(some_events)
def test_items_are_numbered_by_first_appearance(events: list[tuple[str, str, str | None]]) -> None:
    """A row's item is either among the numbers so far or the next one, and names come back."""
    stream = stream_from([(user, item) for user, item, _ in events])
    largest = -1
    for row, (user, item, _) in enumerate(events):
        assert stream.items[row] <= largest + 1
        largest = max(largest, int(stream.items[row]))
        assert stream.item_ids[stream.items[row]] == item
        assert stream.user_ids[stream.users[row]] == user


def test_only_wanted_items_are_outcomes() -> None:
    """A weight above 0 makes an outcome; a row without type is a click."""
    table = table_of([("a", "x")] * 5, ["click", "dislike", None, "impression", "like"])
    assert stream_of(table, DEFAULT_TYPES).outcome.tolist() == [True, False, True, False, True]
    silent = stream_of(table_of([("a", "x")]), {**DEFAULT_TYPES, "click": 0.0})
    assert silent.outcome.tolist() == [False]


def test_scored_rows_follow_the_protocol() -> None:
    """The part after `score_from`, outcomes only, and nothing repeated where that is masked."""
    pairs = [("a", "x"), ("a", "y"), ("a", "x"), ("a", "z"), ("b", "x"), ("b", "x")]
    stream = stream_from(pairs, ["click", "click", "click", "skip", "click", "click"])
    assert stream.scored(Protocol(score_from=0.0)).tolist() == [0, 1, 2, 4, 5]
    assert stream.scored(Protocol(score_from=0.5)).tolist() == [4, 5]
    assert stream.scored(Protocol(score_from=0.0, repeats="mask")).tolist() == [0, 1, 4]
    assert stream.scored(Protocol(score_from=1.0)).tolist() == []


def test_the_share_of_rows_is_exact_where_floats_are_not() -> None:
    """0.29 of 100 rows is 29, though the product of the floats is a hair below."""
    assert Protocol(score_from=0.29).first_scored(100) == 29
    assert Protocol(score_from=0.9).first_scored(100_000) == 90_000
