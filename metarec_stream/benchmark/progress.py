"""How far a benchmark is: cells done, the one that runs, and the time that is left."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from types import TracebackType
from typing import Self

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from metarec_stream.benchmark.cells import Cell, Outcome
from metarec_stream.benchmark.runner import Job

logger = structlog.get_logger()


class Expectation:
    """Seconds that a cell will take, from those of the cells that have run."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self._seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
        for outcome in outcomes:
            self.learn(outcome)

    def learn(self, outcome: Outcome) -> None:
        """Take in how long a cell took; a failed one says nothing."""
        if outcome.finding is not None:
            cell = outcome.cell
            self._seconds[cell.protocol, cell.model].append(outcome.wall_seconds)

    def seconds(self, cell: Cell) -> float | None:
        """The mean of the same cell's other seeds, else of all cells, else None."""
        same = self._seconds.get((cell.protocol, cell.model))
        if same:
            return fmean(same)
        means = [fmean(each) for each in self._seconds.values()]
        return fmean(means) if means else None

    def left(self, cells: Sequence[Cell], running_for: float) -> float | None:
        """Of cells of which the first has been running for so long; None while nothing is known."""
        known = [self.seconds(cell) for cell in cells]
        expected = [each for each in known if each is not None]
        if len(expected) < len(known) or not known:
            return None if known else 0.0
        return max(0.0, expected[0] - running_for) + sum(expected[1:])


class ProgressWatch:
    """A bar on a terminal's standard error; elsewhere a line of log for each cell."""

    def __init__(self, jobs: Sequence[Job], kept: int, expectation: Expectation) -> None:
        """`jobs`: those that will run, in order; `kept`: cells that need not."""
        self._waiting = [job.cell for job in jobs]
        self._failed = 0
        self._expectation = expectation
        self._started_at = 0.0
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("cells{task.fields[failed]}, {task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        total = kept + len(jobs)
        self._task = self._bar.add_task("", total=total, completed=kept, failed="", left="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def started(self, job: Job) -> None:
        self._started_at = time.monotonic()
        self._bar.update(self._task, description=str(job.cell))
        self.waited()

    def waited(self) -> None:
        self._bar.update(self._task, left=self._left(time.monotonic() - self._started_at))

    def ended(self, outcome: Outcome) -> None:
        self._waiting.remove(outcome.cell)
        self._expectation.learn(outcome)
        self._failed += outcome.error is not None
        failed = f" ({self._failed} failed)" if self._failed else ""
        self._bar.update(self._task, advance=1, failed=failed)
        if not self._bar.disable:
            return
        logger.info(
            "cell_ended",
            cell=str(outcome.cell),
            seconds=round(outcome.wall_seconds, 1),
            waiting=len(self._waiting),
            left=self._left(0.0),
        )

    def _left(self, running_for: float) -> str:
        seconds = self._expectation.left(self._waiting, running_for)
        return "time left unknown" if seconds is None else f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Like `3 h 05 min`, `12 min` or `40 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
