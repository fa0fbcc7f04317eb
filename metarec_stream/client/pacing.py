"""How fast events are posted: at their own pace sped up, at a rate, or as fast as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from metarec_stream.contract.interaction import Interaction

_FINEST_S = 0.002


class Pace(Protocol):
    """When an event is due."""

    def due(self, index: int, ts: int) -> float:
        """Seconds after the first event, for the event of this number and time (milliseconds)."""
        ...


class AtOnce:
    """As fast as it goes."""

    def due(self, index: int, ts: int) -> float:
        return 0.0


class EventsPerSecond:
    """Evenly, so many a second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def due(self, index: int, ts: int) -> float:
        return index / self._rate


class SpedUp:
    """As the events came, so many times faster."""

    def __init__(self, times: float) -> None:
        self._times = times
        self._first: int | None = None

    def due(self, index: int, ts: int) -> float:
        if self._first is None:
            self._first = ts
        return (ts - self._first) / 1_000 / self._times


def paced(
    events: Iterable[Interaction],
    pace: Pace,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Interaction]:
    """The events, each not before it is due; a caller who falls behind is not held back."""
    started = now()
    for index, event in enumerate(events):
        early = pace.due(index, event.ts or 0) - (now() - started)
        if early > _FINEST_S:
            sleep(early)
        yield event
