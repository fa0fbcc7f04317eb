"""A search as it runs: bars on a terminal, and a line of log for each finished trial."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import structlog
from optuna.trial import Trial
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

logger = structlog.get_logger()


class SearchProgress:
    """How many trials are finished, the best MRR, and how far each running trial is."""

    def __init__(self, trials: int, finished: int, best: float | None, events: int) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._events = events
        self._best = best
        self._bars: dict[int, TaskID] = {}
        self._trials = self._progress.add_task(
            "trials", total=trials, completed=finished, said=self._said_best()
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._progress.stop()

    def started(self, trial: Trial) -> None:
        """A bar of its own for the trial."""
        self._bars[trial.number] = self._progress.add_task(
            f"trial {trial.number}", total=self._events, said=""
        )

    def events(self, trial: Trial, done: int) -> None:
        """The trial's bar moves."""
        self._progress.update(self._bars[trial.number], completed=done)

    def segment(self, trial: Trial, mrr: float) -> None:
        """The trial's MRR so far, beside its bar."""
        self._progress.update(self._bars[trial.number], said=f"MRR {mrr:.4f}")

    def finished(self, trial: Trial, outcome: str, mrr: float | None) -> None:
        """The trial's bar goes, and the log says how it ended."""
        self._progress.remove_task(self._bars.pop(trial.number))
        if mrr is not None:
            self._best = mrr if self._best is None else max(mrr, self._best)
        if outcome != "failed":
            self._progress.update(self._trials, advance=1, said=self._said_best())
        logger.info(
            "trial_finished",
            trial=trial.number,
            outcome=outcome,
            mrr=mrr,
            best=self._best,
            **{name: round(value, 6) for name, value in trial.params.items()},
        )

    def _said_best(self) -> str:
        return "" if self._best is None else f"best MRR {self._best:.4f}"
