"""How often the learner asks whether what it has learned is to be published."""

from __future__ import annotations

from metarec_stream.clock import Clock

_HASTE = 4
"""How many times as often as usual while users change: versions cost consumers time, which under
load is what recommendations wait for."""


class Cadence:
    """Due every so many seconds, at once when a drift is noticed, and then four times as often."""

    def __init__(self, every_s: float, clock: Clock) -> None:
        self._every_s = every_s
        self._clock = clock
        self._reacting = False
        self._asked = clock.monotonic()

    def due(self, reacting: bool) -> bool:
        """Whether to ask now; reacting: to a drift that was noticed some blocks ago at most."""
        noticed = reacting and not self._reacting
        self._reacting = reacting
        now = self._clock.monotonic()
        every_s = self._every_s / _HASTE if reacting else self._every_s
        if now - self._asked < every_s and not noticed:
            return False
        self._asked = now
        return True
