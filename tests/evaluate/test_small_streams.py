"""Streams with next to nothing in them: every control gives a defined result."""

from __future__ import annotations

import math

import pytest

from metarec_stream.contract.interaction import DEFAULT_TYPES
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.metrics import report
from metarec_stream.evaluate.models import CONTROLS
from metarec_stream.evaluate.protocol import Protocol, Repeats
from metarec_stream.evaluate.stream import stream_of
from tests.evaluate.streams import table_of

PAIRS = [(f"u{row % 3}", f"i{row % 4}") for row in range(10)]
TABLES = {
    "one event": table_of([("ann", "hat")]),
    "ten events": table_of(PAIRS),
    "one user": table_of([("ann", item) for _, item in PAIRS]),
    "one item": table_of([(user, "hat") for user, _ in PAIRS]),
    "one user, one item": table_of([("ann", "hat")] * 10),
    "one time": table_of(PAIRS, seconds=[0] * 10),
    "no outcome": table_of(PAIRS, ["skip"] * 10),
}


def measured(model: str, table: EventTable, protocol: Protocol) -> dict[str, object]:
    """The report of a control on a table."""
    stream = stream_of(table, DEFAULT_TYPES)
    return report(CONTROLS[model](stream, protocol, 0), stream, protocol)


@pytest.mark.parametrize("repeats", ["include", "mask"])
@pytest.mark.parametrize("model", CONTROLS)
def test_controls_take_the_smallest_streams(model: str, repeats: Repeats) -> None:
    """Each scored event has a rank; without one the measures are absent, none is NaN."""
    protocol = Protocol(score_from=0.5 if repeats == "include" else 0, repeats=repeats)
    for name, table in TABLES.items():
        found = measured(model, table, protocol)
        expected = len(stream_of(table, DEFAULT_TYPES).scored(protocol))
        assert found["scored"] == expected, name
        assert (found.get("mrr") is not None) == (expected > 0), name
        numbers = [value for value in found.values() if isinstance(value, float)]
        assert all(math.isfinite(value) for value in numbers), name


@pytest.mark.parametrize("model", CONTROLS)
def test_the_only_item_there_is_ranks_first(model: str) -> None:
    """One user, one item, one time: each event after the first is a hit."""
    table = table_of([("ann", "hat")] * 10, seconds=[0] * 10)
    assert measured(model, table, Protocol())["mrr"] == 1.0
    everything = measured(model, table, Protocol(score_from=0))
    assert everything["hr@1"] == pytest.approx(0.9)
