"""Which rows the protocols on MovieLens keep and score, on tables made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metarec_stream.contract.interaction import DEFAULT_TYPES
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.controls.popularity import rank_by_counts
from metarec_stream.evaluate.metrics import ranks
from metarec_stream.evaluate.protocols.jodie import jodie
from metarec_stream.evaluate.protocols.movielens import cope, flurs, unseen_last_tenth
from metarec_stream.evaluate.stream import stream_of
from tests.evaluate.streams import table_of

_TEN = [
    ("a", "x"), ("b", "x"), ("a", "y"), ("c", "x"), ("b", "y"),
    ("c", "z"), ("d", "y"), ("d", "x"), ("a", "z"), ("d", "w"),
]  # fmt: skip


def test_flurs_scores_ratings_of_5_from_three_tenths_on() -> None:
    """Ten fives among other ratings: the last seven are ranked among unseen items by counts."""
    pairs = [*_TEN[:4], ("a", "other"), *_TEN[4:]]
    value = np.full(11, 5.0)
    value[4] = 3.0
    trial = flurs(replace(table_of(pairs), value=value))
    assert list(zip(trial.table.user, trial.table.item, strict=True)) == _TEN
    stream = stream_of(trial.table, DEFAULT_TYPES)
    ranked = rank_by_counts(stream, trial.protocol, 1e30, 0, slice(3, 10))
    assert ranked.rows.tolist() == list(range(3, 10)) == stream.scored(trial.protocol).tolist()
    # c-x among x 2, y 1; b-y alone; c-z is new; d-y (1) after x (3); d-x, a-z alone; d-w is new.
    expected = [1, 1, np.inf, 2, 1, 1, np.inf]
    assert ranks(ranked, trial.protocol.ties).tolist() == expected


def test_flurs_needs_ratings() -> None:
    """Without values, or without a five, it says so."""
    with pytest.raises(Fatal, match="column of values"):
        flurs(table_of(_TEN))
    with pytest.raises(Fatal, match="no row of the data"):
        flurs(replace(table_of(_TEN), value=np.full(10, 4.0)))


def test_cope_leaves_out_what_is_rare_until_nothing_is() -> None:
    """User d falls with z, and only then y has too few."""
    core = [(user, item) for user in "abc" for item in ("u", "v", "w")]
    rare = [("a", "y"), ("b", "y"), ("d", "y"), ("d", "z"), ("a", "z")]
    trial = cope(table_of([*rare, *core]), least=3)
    assert list(zip(trial.table.user, trial.table.item, strict=True)) == core
    assert len(cope(table_of([*rare, *core]), least=1).table) == len(rare) + len(core)


def test_cope_and_jodie_rank_all_items_and_repeats() -> None:
    """CoPE with ties last and the events of one time together; both score the last tenth."""
    table = table_of(_TEN)
    assert cope(table, least=1).protocol.ties == "pessimistic"
    assert cope(table, least=1).protocol.simultaneous == "together"
    for trial in (jodie(table), cope(table, least=1)):
        protocol = trial.protocol
        assert (protocol.candidates, protocol.repeats) == ("all", "include")
        assert stream_of(table, DEFAULT_TYPES).scored(protocol).tolist() == [9]


def test_unseen_items_of_the_last_tenth() -> None:
    """The last row, d-w: of w and z, which d has not had, z counts more."""
    trial = unseen_last_tenth(table_of(_TEN))
    stream = stream_of(trial.table, DEFAULT_TYPES)
    ranked = rank_by_counts(stream, trial.protocol, 1e30, 0, slice(9, 10))
    assert ranked.candidate.tolist() == [True]
    assert (ranked.greater[0], ranked.equal[0]) == (1, 1)
