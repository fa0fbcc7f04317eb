"""What is asked of a table beyond the protocol: rows, negatives of their own, parts."""

from __future__ import annotations

import numpy as np

from metarec_stream.contract.interaction import DEFAULT_TYPES
from metarec_stream.evaluate.controls.popularity import popularity, rank_by_counts
from metarec_stream.evaluate.metrics import measures, report
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Questions, stream_of
from tests.evaluate.streams import table_of

_PAIRS = [("a", "x"), ("b", "x"), ("c", "x"), ("a", "y"), ("b", "y"), ("c", "z"), ("d", "w")]
_ASKED = np.isin(np.arange(9), [7, 8])


def test_a_row_is_ranked_among_its_own_list() -> None:
    """Item w has one event: of x (3), y (2) and z (1) only those on the row's list count."""
    table = table_of([*_PAIRS, ("e", "w"), ("f", "z")])
    lists = np.array([[0, 3, -1], [6, 5, 3]])
    stream = stream_of(table, DEFAULT_TYPES, Questions(_ASKED, lists))
    ranked = rank_by_counts(stream, Protocol(), 1e30, 0, slice(0, 9))
    assert ranked.rows.tolist() == [7, 8]
    # Row 7 is w against x and y. Row 8 is z against w, which has one more by now, itself, and y.
    assert ranked.greater.tolist() == [2, 2]
    assert ranked.equal.tolist() == [1, 1]


def test_what_is_no_candidate_drops_out_of_a_list() -> None:
    """What the user had where that is masked, and what nobody has had: w counts as little as it."""
    types = ["click"] * 6 + ["skip", "click", "click"]
    table = table_of([*_PAIRS, ("a", "w"), ("f", "new")], types)
    asked = np.arange(9) == 7
    stream = stream_of(table, DEFAULT_TYPES, Questions(asked, np.array([[0, 5, 8]])))
    part = slice(0, 9)
    seen = rank_by_counts(stream, Protocol(), 1e30, 0, part)
    assert (seen.greater[0], seen.equal[0]) == (2, 1)
    masked = rank_by_counts(stream, Protocol(repeats="mask"), 1e30, 0, part)
    assert (masked.greater[0], masked.equal[0]) == (1, 1)
    everything = rank_by_counts(stream, Protocol(candidates="all"), 1e30, 0, part)
    assert (everything.greater[0], everything.equal[0]) == (2, 2)


def test_lists_follow_the_rows_that_are_outcomes() -> None:
    """A list of a row that is no outcome is left out with it."""
    types = ["click"] * 7 + ["skip", "click"]
    table = table_of([*_PAIRS, ("e", "w"), ("f", "w")], types)
    lists = np.array([[0, 3, 5], [0, -1, -1]])
    stream = stream_of(table, DEFAULT_TYPES, Questions(_ASKED, lists))
    assert stream.scored(Protocol()).tolist() == [8]
    assert rank_by_counts(stream, Protocol(), 1e30, 0, slice(0, 9)).greater.tolist() == [1]


def test_only_asked_rows_are_scored_and_parts_are_reported_apart() -> None:
    """Rows before the protocol's first are there to choose by, and not scored."""
    table = table_of([(f"u{row % 5}", f"i{row % 7}") for row in range(40)])
    asked = np.arange(40) % 2 == 0
    parts = {"early": asked & (np.arange(40) < 30), "none": np.zeros(40, np.bool_)}
    stream = stream_of(table, DEFAULT_TYPES, Questions(asked, None, parts))
    protocol = Protocol(score_from=0.5)
    found = report(popularity(stream, protocol, 0), stream, protocol)
    assert found["scored"] == 10
    slices = found["slices"]
    assert isinstance(slices, dict)
    assert slices["early"]["scored"] == 5
    assert slices["none"]["scored"] == 0
    assert slices["none"]["mrr@10"] is None


def test_mrr_at_10_counts_nothing_beyond_the_tenth() -> None:
    """Ranks 1, 4, 10 and 11: the last counts in MRR alone."""
    found = measures(np.array([1.0, 4.0, 10.0, 11.0]))
    assert found["mrr@10"] == (1 + 0.25 + 0.1) / 4
    assert found["mrr"] == (1 + 0.25 + 0.1 + 1 / 11) / 4
