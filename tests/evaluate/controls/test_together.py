"""Controls where all events of one time are ranked before any of them is applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_stream.contract.interaction import DEFAULT_TYPES
from metarec_stream.evaluate.controls.control import Control
from metarec_stream.evaluate.controls.isgd import isgd
from metarec_stream.evaluate.controls.itemknn import itemknn
from metarec_stream.evaluate.controls.last import last, rank_by_recency
from metarec_stream.evaluate.controls.markov import markov
from metarec_stream.evaluate.controls.popularity import popularity, rank_by_counts
from metarec_stream.evaluate.controls.together import run_control
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Candidates, Protocol, Repeats
from metarec_stream.evaluate.stream import Stream, stream_of
from tests.evaluate.streams import few_items, few_users, planted_table, table_of

_HALF_LIFE = 3.0
_TOGETHER = Protocol(score_from=0.0, simultaneous="together")

timed_events = st.lists(
    st.tuples(few_users, few_items, st.integers(0, 4)), min_size=1, max_size=30
).map(lambda events: sorted(events, key=lambda event: event[2]))


def _counts(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    return rank_by_counts(stream, protocol, _HALF_LIFE, seed, slice(0, len(stream)))


def _recency(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    return rank_by_recency(stream, protocol, _HALF_LIFE, seed, slice(0, len(stream)))


def _stream(events: list[tuple[str, str, int]]) -> Stream:
    pairs = [(user, item) for user, item, _ in events]
    return stream_of(table_of(pairs, seconds=[time for *_, time in events]), DEFAULT_TYPES)


def _rows_before(stream: Stream, row: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.flatnonzero(stream.ts < stream.ts[row])


def _score_by_counts(stream: Stream, row: int) -> dict[int, float]:
    """Decayed counts of what happened at earlier times."""
    score = dict.fromkeys(range(len(stream.item_ids)), 0.0)
    for age, before in enumerate(reversed(_rows_before(stream, row).tolist())):
        score[int(stream.items[before])] += 0.5 ** (age / _HALF_LIFE)
    return score


def _score_by_recency(stream: Stream, row: int) -> dict[int, float]:
    """The counts, scaled to at most 1; above them the user's own items of earlier times."""
    score = _score_by_counts(stream, row)
    largest = max(score.values()) or 1.0
    score = {item: count / largest for item, count in score.items()}
    for before in _rows_before(stream, row).tolist():
        if stream.users[before] == stream.users[row]:
            score[int(stream.items[before])] = 2.0 + before
    return score


@pytest.mark.parametrize(
    ("control", "plain"), [(_counts, _score_by_counts), (_recency, _score_by_recency)]
)
@given(
    events=timed_events,
    candidates=st.sampled_from(["seen", "all"]),
    repeats=st.sampled_from(["include", "mask"]),
)
def test_ranks_are_those_of_what_happened_at_earlier_times(
    control: Control,
    plain: Callable[[Stream, int], dict[int, float]],
    events: list[tuple[str, str, int]],
    candidates: Candidates,
    repeats: Repeats,
) -> None:
    """Scores, candidates and what is masked know nothing of the event's own time."""
    stream = _stream(events)
    protocol = replace(_TOGETHER, candidates=candidates, repeats=repeats)
    ranked = run_control(control, stream, protocol, 0)
    assert (np.diff(ranked.rows) > 0).all()
    place = {int(row): number for number, row in enumerate(ranked.rows)}
    for row in range(len(stream)):
        before = _rows_before(stream, row)
        own = set(stream.items[before][stream.users[before] == stream.users[row]].tolist())
        known = stream.items if candidates == "all" else stream.items[before]
        among = set(known.tolist()) - (own if repeats == "mask" else set())
        item = int(stream.items[row])
        if repeats == "mask" and item in own:
            assert row not in place
            continue
        number, score = place[row], plain(stream, row)
        assert ranked.candidate[number] == (item in among)
        if item in among:
            above = sum(score[other] > score[item] + 1e-9 for other in among)
            same = sum(abs(score[other] - score[item]) <= 1e-9 for other in among)
            assert (ranked.greater[number], ranked.equal[number]) == (above, same)


@pytest.mark.parametrize("control", [popularity, last, markov, itemknn, isgd])
def test_where_every_event_has_its_own_time_nothing_changes(control: Control) -> None:
    """To the last digit, lists and choice of settings included."""
    stream = stream_of(planted_table(400, seed=5), DEFAULT_TYPES)
    in_order = Protocol(score_from=0.5, candidates="all")
    plain = control(stream, in_order, 3)
    together = run_control(control, stream, replace(in_order, simultaneous="together"), 3)
    for name in ("rows", "candidate", "greater", "equal", "lists"):
        assert getattr(plain, name).tolist() == getattr(together, name).tolist()


@settings(max_examples=20)
@given(timed_events, st.sampled_from([0.3, 0.5, 0.9]))
def test_the_protocols_rows_are_ranked_and_no_others(
    events: list[tuple[str, str, int]], score_from: float
) -> None:
    """Where the scored part begins in the middle of a time, too."""
    stream = _stream(events)
    protocol = replace(_TOGETHER, score_from=score_from, candidates="all")
    ranked = run_control(popularity, stream, protocol, 0)
    assert ranked.rows.tolist() == stream.scored(protocol).tolist()


def test_a_time_is_cut_where_scoring_begins() -> None:
    """The part before has happened for the part after, as where a file is split in two."""
    stream = _stream([("a", "x", 0), ("b", "x", 0), ("c", "y", 0), ("d", "x", 0)])
    cut = partial(rank_by_counts, half_life=50.0, part=slice(4, 8))
    protocol = replace(_TOGETHER, score_from=0.5, candidates="all")
    ranked = run_control(lambda s, p, seed: cut(s, p, seed=seed), stream, protocol, 0)
    assert ranked.rows.tolist() == [2, 3]
    assert ranked.greater.tolist() == [1, 0]
    assert ranked.equal.tolist() == [1, 1]
