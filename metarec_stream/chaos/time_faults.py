"""Faults of time: events that come twice and in no order, and clocks that jump."""

from __future__ import annotations

import json
import time

from metarec_stream.chaos.fault import Fault
from metarec_stream.chaos.foreign_writes import Timed, write, write_at
from metarec_stream.chaos.site import Site
from metarec_stream.clock import JUMPS_VARIABLE
from metarec_stream.datasets.synthetic import START_MS

_EVENTS = 600
_MOST_COPIES = 3
_WAVES, _BETWEEN_S = 4, 2.0
"""Copies come in several waves, so that batches and checkpoints lie between them."""
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_WITHIN_DAYS = (-20, -6, -1, 0, 3, 6)
"""Event times by which the load's own events do not become late; the first of them is late."""
_EVERY_S = 2.0


def _disorder(site: Site) -> None:
    _all_harmed(site)
    waves: list[list[tuple[bytes, bytes]]] = [[] for _ in range(_WAVES)]
    for number in range(_EVENTS):
        user, ts = _user(site), START_MS + site.random.randrange(6 * _DAY_MS)
        content = {"user": user, "item": f"i{number % 40}", "ts": ts, "event_id": f"d{number}"}
        for _ in range(site.random.randint(1, _MOST_COPIES)):
            site.random.choice(waves).append((user.encode(), json.dumps(content).encode()))
    for wave in waves:
        site.random.shuffle(wave)
        write(site.settings, site.settings.topics.interactions, wave)
        site.pause(_BETWEEN_S)


def _jumping_clocks(site: Site) -> None:
    """The consumers' clocks jump since they were started; now those of who posts events do."""
    _all_harmed(site)
    for _ in range(_WAVES):
        jumped = [_jumped(site, number) for number in range(_EVENTS // _WAVES)]
        write_at(site.settings, site.settings.topics.interactions, jumped)
        site.pause(_BETWEEN_S)


def _jumped(site: Site, number: int) -> Timed:
    user = _user(site)
    ts = START_MS + site.random.choice(_WITHIN_DAYS) * _DAY_MS
    now_ms = round(time.time() * 1e3)
    # Brokers take no timestamp that is more than an hour ahead. Of one before the event's own
    # time, the event lies in the future.
    written = site.random.choice((now_ms, now_ms - 90 * _DAY_MS, now_ms + _HOUR_MS // 2, ts - 1))
    content = {"user": user, "item": f"i{number % 40}", "ts": ts}
    late = site.random.choice((0, 2 * _HOUR_MS))
    return user.encode(), json.dumps(content).encode(), written - late


def _user(site: Site) -> str:
    return f"u{site.random.randrange(400)}"


def _all_harmed(site: Site) -> None:
    site.hit(frozenset(range(site.settings.topics.partitions)))


DISORDER = Fault(
    "disorder",
    f"{_EVENTS} events in no order of time, each up to {_MOST_COPIES} times, in {_WAVES} waves",
    _disorder,
)
CLOCK_JUMPS = Fault(
    "clock-jumps",
    f"the wall clocks of all processes jump every {_EVERY_S:g} s, by a day and more than a year, "
    f"and {_EVENTS} events are posted whose times and whose records' times jump",
    _jumping_clocks,
    environment={JUMPS_VARIABLE: str(_EVERY_S)},
)
