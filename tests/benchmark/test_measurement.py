"""Scores, parts and curves from ranks, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from metarec_stream.benchmark.cells import Point
from metarec_stream.benchmark.measurement import (
    adaptation_curve,
    learning_curve,
    measures_by_part,
    scores_of,
)
from metarec_stream.errors import Fatal

RANK = np.array([1.0, 2.0, 20.0, np.inf])
PARTS = {"novel": np.array([True, False, False, True]), "empty": np.zeros(4, np.bool_)}


def test_a_measure_can_be_of_all_events_or_of_a_part() -> None:
    """MRR of ranks 1, 2, 20 and none; of the novel events 1 and none."""
    found = scores_of(RANK, PARTS, ("mrr", "hr@10", "mrr novel"))
    assert found == {
        "mrr": pytest.approx((1 + 0.5 + 0.05) / 4),
        "hr@10": 0.5,
        "mrr novel": 0.5,
    }


@pytest.mark.parametrize(("rank", "name"), [(RANK[:0], "mrr"), (RANK, "mrr empty")])
def test_no_event_has_no_score(rank: np.ndarray, name: str) -> None:
    """The message names the measure."""
    with pytest.raises(Fatal, match=name):
        scores_of(rank, PARTS, (name,))


def test_every_part_is_measured() -> None:
    """An empty part says that it is empty."""
    found = measures_by_part(RANK, PARTS)
    assert (found["novel"]["mrr"], found["novel"]["scored"]) == (0.5, 2)
    assert (found["empty"]["mrr"], found["empty"]["scored"]) == (None, 0)


def test_the_learning_curve_has_parts_of_as_many_events() -> None:
    """40 scored events on rows 60 to 99 of 100, the last half of them hits: 20 parts of two."""
    rank = np.where(np.arange(40) < 20, 11.0, 1.0)
    curve = learning_curve(rank, np.arange(60, 100), 100)
    assert [point.events for point in curve] == [2] * 20
    assert [point.value for point in curve] == [0.0] * 10 + [1.0] * 10
    assert curve[0].at == pytest.approx(0.605)
    assert len(learning_curve(rank[:3], np.arange(3), 3)) == 3


def test_the_adaptation_curve_goes_by_the_users_earlier_events() -> None:
    """Histories of 0, 2, 3, 31 and 32: two and three are one place, and 32 is beyond the last."""
    rank = np.array([1.0, 1.0, 11.0, 1.0, 1.0])
    curve = adaptation_curve(rank, np.array([0, 2, 3, 31, 32], np.int32), {})
    assert curve == [Point(0.0, 1.0, 1), Point(2.0, 0.5, 2), Point(16.0, 1.0, 1)]


def test_a_protocols_own_histories_come_first() -> None:
    """Events after a change count from it, whatever the user did before."""
    own = {"after 0": np.array([False, True]), "after 1": np.array([False, False])}
    curve = adaptation_curve(np.array([1.0, 11.0]), np.array([0, 50], np.int32), own)
    assert curve == [Point(0.0, 0.0, 1)]
