"""Measures by hand, and against a reading of their definitions over sorted scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.evaluate.metrics import (
    RankedEvents,
    coverage,
    measures,
    ranks,
    report,
)
from metarec_stream.evaluate.protocol import Protocol
from tests.evaluate.streams import stream_from


def ranked_at(
    rows: list[int], greater: list[int], equal: list[int], candidate: list[bool] | None = None
) -> RankedEvents:
    """Events ranked so, with lists that hold nothing."""
    return RankedEvents(
        rows=np.array(rows, np.int64),
        candidate=np.array([True] * len(rows) if candidate is None else candidate),
        greater=np.array(greater, np.int32),
        equal=np.array(equal, np.int32),
        lists=np.full((len(rows), 10), -1, np.int32),
        seconds=2.0,
    )


def test_measures_of_ranks_by_hand() -> None:
    """Ranks 1, 2, 11 and a miss."""
    found = measures(np.array([1.0, 2.0, 11.0, np.inf]))
    assert found["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 11) / 4)
    assert [found[f"hr@{k}"] for k in (1, 5, 10, 20)] == [0.25, 0.5, 0.5, 0.75]
    assert found["ndcg@10"] == pytest.approx((1 + 1 / math.log2(3)) / 4)
    assert found["scored"] == 4


def test_no_event_has_no_measures() -> None:
    """None, not zero and not NaN, which JSON cannot hold."""
    found = measures(np.zeros(0))
    assert found.pop("scored") == 0
    assert set(found.values()) == {None}
    assert found.keys() == measures(np.ones(1)).keys() - {"scored"}


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=12),
    st.integers(0, 11),
    st.sampled_from(["mid", "pessimistic"]),
)
def test_ranks_are_places_among_sorted_scores(scores: list[int], at: int, ties: str) -> None:
    """The mean, or the last, of the places that the target's score takes in the sorted list."""
    target = scores[at % len(scores)]
    greater = sum(score > target for score in scores)
    equal = scores.count(target)
    places = [
        place + 1 for place, score in enumerate(sorted(scores, reverse=True)) if score == target
    ]
    expected = places[-1] if ties == "pessimistic" else sum(places) / len(places)
    one = ranked_at([0], [greater], [equal])
    assert ranks(one, "pessimistic" if ties == "pessimistic" else "mid")[0] == expected


def test_a_target_that_is_no_candidate_is_a_scored_miss() -> None:
    """It counts among the scored, with reciprocal rank 0 and no hit."""
    found = measures(ranks(ranked_at([0, 1], [0, 0], [1, 0], [True, False]), "mid"))
    assert (found["mrr"], found["hr@20"], found["scored"]) == (0.5, 0.5, 2)


def test_coverage_counts_distinct_items_of_the_first_ten() -> None:
    """Padding and what is beyond the tenth place do not count."""
    lists = np.full((2, 12), -1, np.int32)
    lists[0, :3] = [4, 5, 6]
    lists[1, :11] = [4, 4, 4, 4, 4, 4, 4, 4, 4, 7, 9]
    assert coverage(lists, 20) == 4 / 20


def test_a_report_scores_the_protocols_rows_by_slice() -> None:
    """The first half is left out; repeat, novel and new users are told apart."""
    pairs = [("a", f"i{row}") for row in range(6)] + [("a", "i0"), ("b", "i1"), ("a", "i9")]
    stream = stream_from([*pairs, ("b", "i1")])
    ranked = ranked_at(list(range(10)), greater=[9] * 6 + [0, 1, 2, 3], equal=[1] * 10)
    found = report(ranked, stream, Protocol(score_from=0.6))
    assert found["scored"] == 4
    assert found["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert found["events_per_second"] == 5.0
    slices = found["slices"]
    assert isinstance(slices, dict)
    assert slices["repeat"]["mrr"] == pytest.approx((1 + 1 / 4) / 2)
    assert slices["novel"]["mrr"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert slices["new_user"]["mrr"] == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_a_user_is_new_up_to_four_earlier_events() -> None:
    """The fifth event is a new user's, the sixth is not."""
    stream = stream_from([("a", f"i{row}") for row in range(7)])
    ranked = ranked_at(list(range(7)), [0] * 7, [1] * 7)
    slices = report(ranked, stream, Protocol(score_from=0.0))["slices"]
    assert isinstance(slices, dict)
    assert slices["new_user"]["scored"] == 5
