"""Windows of users' outcomes against a plain reading of the stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.evaluate.controls.sequences import (
    CONTEXT,
    WINDOW,
    batches,
    histories_of,
    owned_before,
)
from metarec_stream.evaluate.controls.together import asked_then_applied, written_twice
from metarec_stream.evaluate.stream import Stream
from tests.evaluate.controls.plain import Events, wanted
from tests.evaluate.streams import some_events, stream_from

generators = st.sampled_from([None, 0, 1])


def known(stream: Stream, row: int) -> list[int]:
    """The user's beginning, then the outcomes before the row, in order."""
    own = [item for user, item in wanted(stream, row) if user == stream.users[row]]
    return [len(stream.item_ids), *own]


def read_at(stream: Stream, rows: np.ndarray, size: int, seed: int | None) -> dict[int, list[int]]:
    """By row: what its window holds up to the row's place; each row comes exactly once."""
    generator = None if seed is None else np.random.default_rng(seed)
    read: dict[int, list[int]] = {}
    for batch in batches(histories_of(stream), rows, size, generator):
        assert batch.inputs.shape[1] <= WINDOW
        for window, column, row in zip(batch.window, batch.column, batch.rows, strict=True):
            assert int(row) not in read
            read[int(row)] = batch.inputs[window, : column + 1].tolist()
    assert sorted(read) == rows.tolist()
    return read


@given(some_events, generators)
def test_each_row_is_read_from_what_its_user_wanted_before(
    events: Events, seed: int | None
) -> None:
    """In any order, in small batches; what was not wanted, and what comes later, is not there."""
    stream = stream_from([(user, item) for user, item, _ in events], [kind for *_, kind in events])
    read = read_at(stream, np.arange(len(stream)), 4, seed)
    assert read == {row: known(stream, row) for row in range(len(stream))}


@given(some_events)
def test_rows_that_are_only_asked_for_are_no_part_of_the_sequence(events: Events) -> None:
    """Where events of one time are ranked before any is applied, they share a place."""
    stream = stream_from([(user, item) for user, item, _ in events], [kind for *_, kind in events])
    twice = written_twice(stream, *asked_then_applied(stream, 0))
    read = read_at(twice, np.flatnonzero(twice.asked), 4, None)
    assert read == {row: known(twice, row) for row in read}


@pytest.mark.parametrize("every", [1, 7])
def test_long_histories_are_cut_to_a_context(every: int) -> None:
    """At least the latest CONTEXT outcomes are read, and all while there are no more than that."""
    generator = np.random.default_rng(0)
    stream = stream_from(
        [(f"u{row % 2}", f"i{generator.integers(9)}") for row in range(6 * WINDOW)]
    )
    rows = np.arange(0, len(stream), every)
    for row, read in read_at(stream, rows, 50, 0).items():
        whole = known(stream, row)
        assert read == whole[-len(read) :]
        assert len(read) >= min(len(whole), CONTEXT + 1)


def test_no_rows_are_no_batches() -> None:
    """Nothing to learn or to rank."""
    stream = stream_from([("a", "u")])
    assert not list(batches(histories_of(stream), np.zeros(0, np.int64), 4))


@given(some_events)
def test_owned_items_are_those_of_earlier_rows(events: Events) -> None:
    """Of any type, as the protocol masks them."""
    stream = stream_from([(user, item) for user, item, _ in events], [kind for *_, kind in events])
    owned = owned_before(stream, np.arange(len(stream)), len(stream.item_ids))
    for row in range(len(stream)):
        own = stream.items[:row][stream.users[:row] == stream.users[row]]
        assert np.flatnonzero(owned[row]).tolist() == sorted(set(own.tolist()))
