"""Posts a stream of interactions at a pace, with a progress bar where there is a terminal."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from metarec_stream.client.pacing import Pace, paced
from metarec_stream.client.producer import InteractionProducer
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.item import Item

_SHOW_EVERY_S = 0.2


@dataclass
class Posted:
    """What has been posted so far; it grows while posting, so that an interrupted run can tell."""

    items: int = 0
    interactions: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        rate = self.interactions / self.seconds if self.seconds else 0.0
        items = f" and {self.items:,} items" if self.items else ""
        return f"{self.interactions:,} interactions{items} in {self.seconds:.1f} s ({rate:,.0f}/s)"


def post_items(producer: InteractionProducer, items: Iterable[Item], posted: Posted) -> None:
    """Announce items, and wait until Kafka has them: they are there before their first event."""
    for item in items:
        producer.announce(item)
        posted.items += 1
    producer.flush()


def post_interactions(
    producer: InteractionProducer,
    events: Iterable[Interaction],
    total: int,
    pace: Pace,
    posted: Posted,
) -> None:
    """Post events, each when it is due, and wait until Kafka has them."""
    started = time.monotonic()
    try:
        for event in _shown(paced(events, pace), total):
            with _interrupted_afterwards():
                producer.post(event)
                posted.interactions += 1
    finally:
        producer.flush()
        posted.seconds = time.monotonic() - started


@contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Ctrl-C in here is raised at the end: what was posted is counted, whatever happens."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _shown(events: Iterable[Interaction], total: int) -> Iterator[Interaction]:
    console = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, auto_refresh=False, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("", total=total, rate=0.0)
        started = shown = time.monotonic()
        for count, event in enumerate(events, start=1):
            yield event
            now = time.monotonic()
            if now - shown > _SHOW_EVERY_S or count == total:
                shown = now
                rate = count / (now - started) if now > started else 0.0
                progress.update(task, completed=count, rate=rate, refresh=True)
