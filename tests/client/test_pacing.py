"""How fast events are posted."""

from __future__ import annotations

import pytest

from metarec_stream.client.pacing import AtOnce, EventsPerSecond, Pace, SpedUp, paced
from metarec_stream.contract.interaction import Interaction


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def posting_times(pace: Pace, times_ms: list[int], costs: float = 0.0) -> list[float]:
    """Seconds from the start at which each event is handed out, each costing so many."""
    time = Time()
    events = [Interaction(user="u", item="i", ts=ts) for ts in times_ms]
    handed: list[float] = []
    for _ in paced(events, pace, now=time.now, sleep=time.sleep):
        handed.append(time.seconds - 100.0)
        time.seconds += costs
    return handed


def test_sped_up_keeps_the_gaps() -> None:
    """At 60x a minute between events is a second."""
    assert posting_times(SpedUp(60.0), [0, 60_000, 90_000]) == pytest.approx([0.0, 1.0, 1.5])


def test_a_rate_is_even_whatever_the_event_times() -> None:
    """At 4/s every quarter of a second."""
    times = posting_times(EventsPerSecond(4.0), [0, 9_000_000, 9_000_001])
    assert times == pytest.approx([0.0, 0.25, 0.5])


def test_who_falls_behind_catches_up() -> None:
    """Posting that costs more than the gap is not slowed further, and no time is lost after."""
    times = posting_times(EventsPerSecond(1.0), [0] * 4, costs=1.5)
    assert times == pytest.approx([0.0, 1.5, 3.0, 4.5])


def test_at_once_never_waits() -> None:
    """All at the start."""
    assert posting_times(AtOnce(), [0, 10_000_000]) == [0.0, 0.0]
