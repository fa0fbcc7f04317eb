"""When the learner asks its gate."""

from __future__ import annotations

from metarec_stream.clock import ManualClock
from metarec_stream.learner.cadence import Cadence


def asked_ms(every_s: float, reacting_ms: range) -> list[int]:
    """When it was due, of ten seconds in which it was asked eight times a second."""
    clock = ManualClock()
    cadence = Cadence(every_s, clock)
    due = []
    for _ in range(80):
        clock.advance(125)
        if cadence.due(clock.now_ms() in reacting_ms):
            due.append(clock.now_ms())
    return due


def test_it_is_due_at_its_interval() -> None:
    """Counted from when it was due, the first time from the start."""
    assert asked_ms(2.0, range(0)) == [2_000, 4_000, 6_000, 8_000, 10_000]


def test_a_drift_is_answered_at_once_and_then_four_times_as_often() -> None:
    """And as before when the reaction is over."""
    due = asked_ms(2.0, range(2_750, 4_300))
    assert due == [2_000, 2_750, 3_250, 3_750, 4_250, 6_250, 8_250]


def test_without_an_interval_it_is_always_due() -> None:
    """0 asks after every turn."""
    assert len(asked_ms(0.0, range(0))) == 80
