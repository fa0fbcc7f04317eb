"""Clocks that are not the machine's own."""

from __future__ import annotations

import pytest

from metarec_stream.clock import JUMPS_VARIABLE, JumpingClock, SystemClock, clock_of_process


def test_a_jumping_clock_is_set_again_and_again_and_durations_are_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Right, a day ahead, a day back, more than a year ahead; its monotonic clock only grows."""
    clock = JumpingClock(2.0)
    days = []
    for seconds in (8.0, 10.0, 12.0, 14.0, 16.0):
        monkeypatch.setattr(clock, "monotonic", lambda seconds=seconds: seconds)
        days.append(round((clock.now_ms() - SystemClock().now_ms()) / 86_400_000))
    assert days == [0, 1, -1, 400, 0]


def test_only_the_variable_makes_a_process_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the clock is the machine's."""
    monkeypatch.delenv(JUMPS_VARIABLE, raising=False)
    assert type(clock_of_process()) is SystemClock
    monkeypatch.setenv(JUMPS_VARIABLE, "1.5")
    assert isinstance(clock_of_process(), JumpingClock)
