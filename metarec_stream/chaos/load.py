"""The events that are posted while a fault is done: synthetic, seeded, at a steady rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import structlog

from metarec_stream.client.pacing import EventsPerSecond, paced
from metarec_stream.client.producer import InteractionProducer
from metarec_stream.config import Settings
from metarec_stream.contract.interaction import Interaction
from metarec_stream.datasets.settings import SyntheticSettings
from metarec_stream.datasets.synthetic import synthetic_stream

_USERS, _ITEMS = 400, 400
_PROBE_SHARE = 10

_log = structlog.get_logger()


def events_of(count: int, seed: int) -> list[Interaction]:
    """So many events, each with an id of its own; the same seed gives the same ones."""
    made_up = SyntheticSettings(events=count, users=_USERS, items=_ITEMS, change_at=())
    stream = synthetic_stream(made_up, seed)
    rows = zip(stream.users.tolist(), stream.items.tolist(), stream.ts.tolist(), strict=True)
    return [
        Interaction(user=f"u{user}", item=f"i{item}", ts=ts, event_id=f"e{number}")
        for number, (user, item, ts) in enumerate(rows)
    ]


class Load:
    """Posts most of the events on a thread of its own; the last tenth shows that all flows again.

    A context manager; belongs to one thread but for its own.
    """

    def __init__(self, settings: Settings, events: list[Interaction], rate: float) -> None:
        """`rate`: events a second. Raises Fatal if the brokers are away."""
        probe = max(1, len(events) // _PROBE_SHARE)
        self._events, self._probe = events[:-probe], events[-probe:]
        self._rate = rate
        self._producer = InteractionProducer(settings.kafka, topics=settings.topics)
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._given_up = threading.Event()
        self._failure: Exception | None = None
        self._posted = 0
        self.started_at = 0.0
        """By the monotonic clock, seconds; 0 before."""

    @property
    def share(self) -> float:
        """Of the events before the last tenth, those that were posted."""
        return self._posted / len(self._events)

    @property
    def ended(self) -> bool:
        """Whether Kafka has all of them. Raises what posting raised."""
        if self._failure is not None:
            raise self._failure
        return not self._thread.is_alive() and self._posted == len(self._events)

    def start(self) -> None:
        """Begin to post."""
        self.started_at = time.monotonic()
        self._thread.start()

    def give_up(self) -> None:
        """Post no more."""
        self._given_up.set()

    def probe(self) -> None:
        """Post the last tenth, at once. Raises Fatal if Kafka does not take them."""
        for event in self._probe:
            self._producer.post(event)
        self._producer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._given_up.set()
        if error is None:
            self._thread.join()
        self._producer.__exit__(kind, error, trace)

    def _run(self) -> None:
        try:
            for event in self._wanted():
                self._producer.post(event)
                self._posted += 1
            self._producer.flush()
        except Exception as error:  # noqa: BLE001 - raised on the main thread, by `ended`
            if not self._given_up.is_set():
                _log.error("load_ended", error=str(error))
            self._failure = error

    def _wanted(self) -> Iterator[Interaction]:
        for event in paced(self._events, EventsPerSecond(self._rate)):
            if self._given_up.is_set():
                return
            yield event
