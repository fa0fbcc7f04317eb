"""The demo as it is watched: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from metarec_stream.contract.recommendation import Recommendation
from metarec_stream.demo.measurements import Reading
from metarec_stream.demo.report import latencies, progress_line

_RATE_WINDOW_S = 5.0
_LINE_EVERY_S = 5.0


class View(Protocol):
    """Where a run is shown."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def say(self, text: str) -> None:
        """One line that stays."""
        ...

    def show(self, reading: Reading, latest: Recommendation | None) -> None:
        """The newest figures, and the customer's newest list if there is a new one."""
        ...


class Rate:
    """Events per second over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def update(self, now: float, count: int) -> float:
        """The rate after `count` events by `now`, a time in seconds."""
        self._seen.append((now, count))
        while len(self._seen) > 2 and now - self._seen[0][0] > _RATE_WINDOW_S:
            self._seen.popleft()
        first, before = self._seen[0]
        return (count - before) / (now - first) if now > first else 0.0


class PlainView:
    """A line every few seconds."""

    def __init__(
        self, console: Console, total: int, customer: str, titles: Mapping[str, str]
    ) -> None:
        self._console = console
        self._total = total
        self._customer = customer
        self._titles = titles
        self._rate = Rate()
        self._next = 0.0
        self._latest: Recommendation | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def say(self, text: str) -> None:
        self._print(text)

    def show(self, reading: Reading, latest: Recommendation | None) -> None:
        now = time.monotonic()
        rate = self._rate.update(now, reading.handled)
        self._latest = latest or self._latest
        if now < self._next:
            return
        self._next = now + _LINE_EVERY_S
        self._print(progress_line(reading, self._total, rate))
        if self._latest is not None:
            first = "; ".join(
                title_of(place.item, self._titles) for place in self._latest.items[:3]
            )
            self._print(f"  for customer {self._customer} now: {first}; ...")
            self._latest = None

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class LiveView:
    """One screen that changes: progress, figures, and a customer's list by product name."""

    def __init__(
        self, console: Console, total: int, customer: str, titles: Mapping[str, str]
    ) -> None:
        self._total = total
        self._customer = customer
        self._titles = titles
        self._rate = Rate()
        self._latest: Recommendation | None = None
        self._entered: set[str] = set()
        self._lists = 0
        # No refresh thread: the demo draws when it has something new.
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        self._live.console.print(Text(text), soft_wrap=True)
        self._live.refresh()

    def show(self, reading: Reading, latest: Recommendation | None) -> None:
        rate = self._rate.update(time.monotonic(), reading.handled)
        if latest is not None:
            before = {place.item for place in self._latest.items} if self._latest else set()
            self._entered = {place.item for place in latest.items} - before
            self._latest = latest
            self._lists += 1
        self._live.update(self._screen(reading, rate), refresh=True)

    def _screen(self, reading: Reading, rate: float) -> RenderableType:
        return Group(self._progress(reading, rate), self._figures(reading), self._list())

    def _progress(self, reading: Reading, rate: float) -> RenderableType:
        row = Table.grid(padding=(0, 2))
        row.add_row(
            ProgressBar(total=self._total, completed=reading.handled, width=24),
            f"{reading.handled:,} of {self._total:,} events",
            f"[bold]{rate:,.0f}[/]/s",
            f"lag {reading.lag:,.0f}",
        )
        return row

    def _figures(self, reading: Reading) -> RenderableType:
        model, popularity = reading.quality["model"], reading.quality["popularity"]
        table = Table.grid(padding=(0, 2))
        table.add_row("event to recommendation", latencies(reading))
        table.add_row("meta version", f"[bold]{reading.meta_version}[/]")
        for name, own, control in (
            ("hit rate at 10", model.hit_rate, popularity.hit_rate),
            ("mean reciprocal rank", model.mrr, popularity.mrr),
        ):
            table.add_row(name, f"[bold green]{own:.3f}[/] (popularity {control:.3f})")
        return table

    def _list(self) -> RenderableType:
        if self._latest is None:
            return Panel(Text("has not bought yet"), title=f"customer {self._customer}", width=76)
        table = Table.grid(padding=(0, 2))
        for number, place in enumerate(self._latest.items, start=1):
            table.add_row(
                f"{number:2}",
                Text(title_of(place.item, self._titles)),
                Text(", ".join(place.why[:2]), style="dim"),
                Text("new" if place.item in self._entered else "", style="bold yellow"),
            )
        heading = f"for customer {self._customer} now (list {self._lists})"
        return Panel(table, title=heading, width=76)


def view(console: Console, total: int, customer: str, titles: Mapping[str, str]) -> View:
    """The view that suits the console: live in a terminal, plain lines elsewhere."""
    kind = LiveView if console.is_terminal else PlainView
    return kind(console, total, customer, titles)


def title_of(item: str, titles: Mapping[str, str]) -> str:
    """The product's name in small letters but the first, or its code."""
    return " ".join(titles.get(item, item).split()).capitalize()
