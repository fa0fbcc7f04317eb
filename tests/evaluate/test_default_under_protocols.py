"""The default where a protocol asks for lists, for groups, or for a frozen learner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.prequential import Pace, replay_stream
from metarec_stream.evaluate.protocol import Protocol, Repeats
from metarec_stream.evaluate.stream import Questions, stream_of
from metarec_stream.learner.settings import GateSettings, LearnSettings
from tests.evaluate.streams import planted_table, table_of

_SETTINGS = Settings(
    learn=LearnSettings(block=64, device="cpu"),
    gate=GateSettings(window=128, minimum=64),
    value_sum=ValueSumSettings(dimensions=8, time_scales=2, window=8),
)
_TABLE = planted_table(320, seed=4)
_ALL = Protocol(score_from=0.0, candidates="all")
_TOGETHER = replace(_ALL, simultaneous="together")


def _ranked(
    table: EventTable, protocol: Protocol, questions: Questions | None = None, size: int = 64
) -> RankedEvents:
    stream = stream_of(table, _SETTINGS.events.table(), questions)
    return replay_stream(table, stream, protocol, _SETTINGS, Pace(size, lambda _done: None))


def _columns(ranked: RankedEvents) -> list[object]:
    columns = (ranked.rows, ranked.candidate, ranked.greater, ranked.equal, ranked.lists)
    return [column.tolist() for column in columns]


def test_where_every_event_has_its_own_time_nothing_changes() -> None:
    """The learner hears the same tasks, so the lists agree to the end."""
    assert _columns(_ranked(_TABLE, _TOGETHER)) == _columns(_ranked(_TABLE, _ALL))


@pytest.mark.parametrize("masked", ["include", "mask"])
def test_events_of_one_time_know_nothing_of_each_other(masked: Repeats) -> None:
    """The last of three is ranked as if it came alone, though one of them is its user's."""
    protocol = replace(_TOGETHER, repeats=masked)
    before = [(f"u{row % 4}", f"i{row * row % 37}") for row in range(60)]
    three = [("u1", "i3"), ("u2", "new"), ("u1", "new")]
    times = [*range(60), 60, 60, 60]
    together = _ranked(table_of([*before, *three], seconds=times), protocol)
    alone = _ranked(table_of([*before, three[2]], seconds=times[:61]), protocol)
    assert together.rows[-1] == 62
    for name in ("candidate", "greater", "equal"):
        assert getattr(together, name)[-1] == getattr(alone, name)[-1]
    assert together.lists[-1].tolist() == alone.lists[-1].tolist()
    in_order = _ranked(
        table_of([*before, *three], seconds=times), replace(protocol, simultaneous="in_order")
    )
    assert in_order.lists[-1].tolist() != alone.lists[-1].tolist()


def test_a_time_with_more_events_than_a_batch_is_refused() -> None:
    """It says what to do."""
    table = table_of([(f"u{row}", "x") for row in range(20)], seconds=[0] * 20)
    with pytest.raises(Fatal, match="raise --outer-every"):
        _ranked(table, _TOGETHER, size=16)


def test_an_event_is_ranked_among_its_own_list() -> None:
    """Its rank is that among all, counted over the list: a list of all items gives the same."""
    rows = len(_TABLE)
    asked = np.arange(rows) % 3 == 2
    first = np.unique(np.array(_TABLE.item), return_index=True)[1]
    everything = np.tile(first, (int(asked.sum()), 1))
    full = _ranked(_TABLE, _ALL).of(np.flatnonzero(asked))
    listed = _ranked(_TABLE, _ALL, Questions(asked, everything)).of(np.flatnonzero(asked))
    assert _columns(full) == _columns(listed)
    alone = _ranked(_TABLE, _ALL, Questions(asked, np.full((int(asked.sum()), 2), -1)))
    alone = alone.of(np.flatnonzero(asked))
    assert set(alone.greater.tolist()) == {0}
    assert set(alone.equal.tolist()) == {1}


def test_the_outer_loop_stops_where_the_protocol_says() -> None:
    """Before it all is as ever; stopped at once, version 0 ranks to the end."""
    usual, half = _ranked(_TABLE, _ALL), _ranked(_TABLE, replace(_ALL, learn_until=0.5))
    # A version that the batch before row 160 led to still ranks; what comes later does not learn.
    assert half.greater[:160].tolist() == usual.greater[:160].tolist()
    never = _ranked(_TABLE, replace(_ALL, learn_until=0.0))
    again = _ranked(_TABLE, replace(_ALL, learn_until=0.0), size=50)
    assert never.greater.tolist() == again.greater.tolist()
