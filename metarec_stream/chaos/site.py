"""What a fault has in its hands: the processes, the broker, the load, and a seeded draw."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from metarec_stream.chaos.broker import KillableBroker
from metarec_stream.chaos.fleet import Fleet
from metarec_stream.chaos.load import Load
from metarec_stream.chaos.positions import Positions
from metarec_stream.config import Settings
from metarec_stream.errors import Fatal

_TICK_S = 0.25
LIMIT_S = 240.0
"""Longest wait for one condition."""


@dataclass
class Site:
    """One running service under load, about to be harmed."""

    settings: Settings
    broker: KillableBroker
    fleet: Fleet
    load: Load
    positions: Positions
    victim: str
    """Name of the consumer that is harmed."""
    random: random.Random
    hit_at: float = 0.0
    """When the fault came, by the monotonic clock; 0 before."""
    harmed: frozenset[int] = field(default_factory=frozenset)
    """Partitions that it came to."""
    moves: Counter[int] = field(default_factory=Counter)
    """How often each partition had come or gone until then."""

    def hit(self, harmed: frozenset[int], at: float | None = None) -> None:
        """Note that the fault comes now, or came at this time: before the load, at its start."""
        self.hit_at = max(time.monotonic() if at is None else at, self.load.started_at)
        self.harmed = harmed
        self.moves = self.fleet.moves()

    def moved(self) -> frozenset[int]:
        """Partitions that it did not come to and that have got another owner since."""
        return frozenset(self.fleet.moves() - self.moves) - self.harmed

    def wait(self, condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
        """Until the condition holds; processes that end are started again meanwhile.

        Raises Fatal after the limit; `what` says what did not come.
        """
        deadline = time.monotonic() + limit_s
        while not condition():
            self.fleet.tend()
            if time.monotonic() > deadline:
                raise Fatal(f"waited {limit_s:.0f} s in vain: {what}")
            time.sleep(_TICK_S)

    def pause(self, seconds: float) -> None:
        """Let time pass, as a fault's schedule says."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= until, "time did not pass", seconds + LIMIT_S)
