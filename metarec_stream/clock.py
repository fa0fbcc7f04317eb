"""Time as a dependency, so that tests can hold it still, or have it jump."""

from __future__ import annotations

import os
import time
from typing import Protocol

JUMPS_VARIABLE = "METAREC_CLOCK_JUMPS_EVERY_S"
"""Environment variable, for tests: the wall clock of a process jumps so often."""
_JUMPS_MS = (0, 86_400_000, -86_400_000, 400 * 86_400_000)


class Clock(Protocol):
    """Where the program reads time."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, for durations."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class JumpingClock(SystemClock):
    """A wall clock that is set, again and again: a day ahead, a day back, a year ahead, right."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s

    def now_ms(self) -> int:
        turn = int(self.monotonic() / self._every_s)
        return super().now_ms() + _JUMPS_MS[turn % len(_JUMPS_MS)]


def clock_of_process() -> Clock:
    """The machine's, if nobody asks for another one."""
    every_s = os.environ.get(JUMPS_VARIABLE)
    return JumpingClock(float(every_s)) if every_s else SystemClock()


class ManualClock:
    """A clock that stands until it is moved; for tests and evaluation."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._now_ms / 1000.0

    def advance(self, milliseconds: int) -> None:
        """Move the clock by this many milliseconds (negative: a clock that jumps back)."""
        self._now_ms += milliseconds
