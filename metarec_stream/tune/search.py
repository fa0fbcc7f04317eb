"""Trials one after another in this process, or several at once in processes of their own."""

from __future__ import annotations

from typing import Protocol

from optuna.trial import Trial

from metarec_stream.tune.ledger import Ledger
from metarec_stream.tune.objective import Objective, Pruned, Watch


class Display(Protocol):
    """Whoever watches a search."""

    def started(self, trial: Trial) -> None:
        """A trial begins."""

    def events(self, trial: Trial, done: int) -> None:
        """It has done this many events."""

    def segment(self, trial: Trial, mrr: float) -> None:
        """It has finished a segment, with this MRR so far."""

    def finished(self, trial: Trial, outcome: str, mrr: float | None) -> None:
        """It is `complete`, `pruned` or `failed`."""


class Attempt:
    """One trial on its way into the ledger and onto the display."""

    def __init__(self, ledger: Ledger, display: Display, trial: Trial) -> None:
        self._ledger = ledger
        self._display = display
        self.trial = trial
        display.started(trial)

    def events(self, done: int) -> None:
        """It has done this many events."""
        self._display.events(self.trial, done)

    def segment(self, number: int, mrr: float) -> bool:
        """It has finished a segment; whether it is to be ended."""
        self._display.segment(self.trial, mrr)
        return self._ledger.report(self.trial, number, mrr)

    def complete(self, mrr: float) -> None:
        """It went through."""
        self._ledger.complete(self.trial, mrr)
        self._display.finished(self.trial, "complete", mrr)

    def prune(self) -> None:
        """It was ended early."""
        self._ledger.prune(self.trial)
        self._display.finished(self.trial, "pruned", None)

    def fail(self) -> None:
        """It came to no result."""
        self._ledger.fail(self.trial)
        self._display.finished(self.trial, "failed", None)


def search(objective: Objective, ledger: Ledger, display: Display) -> None:
    """Run trials in this process until the ledger's bounds are reached."""
    while (trial := ledger.ask()) is not None:
        _run(objective, Attempt(ledger, display, trial))


def _run(objective: Objective, attempt: Attempt) -> None:
    def segment(number: int, mrr: float) -> None:
        if attempt.segment(number, mrr):
            raise Pruned

    try:
        mrr = objective.mrr(attempt.trial.params, Watch(attempt.events, segment))
    except Pruned:
        attempt.prune()
    except BaseException:
        attempt.fail()
        raise
    else:
        attempt.complete(mrr)
