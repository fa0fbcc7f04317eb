"""Trials in this process, and several at once in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from optuna.trial import Trial, TrialState

from metarec_stream.errors import Fatal
from metarec_stream.tune.parallel import search_in_parallel
from metarec_stream.tune.search import search
from tests.tune.searches import Ends, formula, ledger_in, quality, small_objective


class Seen:
    """A display that remembers; what is asked of it may end the search."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[int, str, float | None]] = []
        self.running = 0
        self.most = 0

    def started(self, trial: Trial) -> None:
        """Count those that run."""
        self.running += 1
        self.most = max(self.most, self.running)

    def events(self, trial: Trial, done: int) -> None:
        """Nothing to remember."""

    def segment(self, trial: Trial, mrr: float) -> None:
        """Nothing to remember."""

    def finished(self, trial: Trial, outcome: str, mrr: float | None) -> None:
        """Remember it."""
        self.running -= 1
        self.outcomes.append((trial.number, outcome, mrr))


class Interrupted(Seen):
    """Ctrl-C in the middle of the second trial."""

    def events(self, trial: Trial, done: int) -> None:
        """Raised as Python does."""
        if trial.number == 1:
            raise KeyboardInterrupt


def test_trials_of_the_default_are_run_and_told(tmp_path: Path) -> None:
    """Three replays over planted events: each MRR is in the study, the best is the largest."""
    seen = Seen()
    with closing(ledger_in(tmp_path, 3)) as ledger:
        search(small_objective(), ledger, seen)
        values = [trial.value for trial in ledger.finished()]
        assert ledger.require_best().value == max(mrr for *_, mrr in seen.outcomes if mrr)
        assert len(ledger.finished()[0].intermediate_values) >= 4
    assert seen.outcomes == [(number, "complete", values[number]) for number in range(3)]
    assert all(value is not None and 0 < value < 1 for value in values)


def test_a_pruned_trial_ends_there(tmp_path: Path) -> None:
    """It is finished, without an MRR, and the next one begins."""
    seen = Seen()
    with closing(ledger_in(tmp_path, 25)) as ledger:
        search(formula(), ledger, seen)
        pruned = [trial for trial in ledger.finished() if trial.state == TrialState.PRUNED]
    told = [outcome for _, outcome, _ in seen.outcomes]
    assert told.count("pruned") == len(pruned) > 0
    assert told.count("complete") == 25 - len(pruned)
    assert all(list(trial.intermediate_values) == [1] for trial in pruned)


def test_an_interrupted_trial_is_failed_at_once(tmp_path: Path) -> None:
    """And the interruption goes on its way."""
    seen = Interrupted()
    with closing(ledger_in(tmp_path, 5)) as ledger:
        with pytest.raises(KeyboardInterrupt):
            search(formula(), ledger, seen)
        states = [trial.state for trial in ledger.study.get_trials()]
    assert states == [TrialState.COMPLETE, TrialState.FAIL]
    assert seen.outcomes[-1] == (1, "failed", None)


def test_two_at_once_fill_the_same_study(tmp_path: Path) -> None:
    """Never more than the jobs, never more than the trials, and what they found is the same."""
    seen = Seen()
    with closing(ledger_in(tmp_path, 3)) as ledger:
        search_in_parallel(formula(), ledger, seen, jobs=2)
        finished = ledger.finished()
    assert seen.most == 2
    assert sorted(number for number, *_ in seen.outcomes) == [0, 1, 2]
    assert [trial.value for trial in finished] == [quality(trial.params) for trial in finished]


def test_a_trial_whose_process_dies_is_said_and_failed(tmp_path: Path) -> None:
    """The others are ended, so that the command can be repeated."""
    seen = Seen()
    with closing(ledger_in(tmp_path, 5)) as ledger:
        with pytest.raises(Fatal, match="ended without a result"):
            search_in_parallel(formula(Ends), ledger, seen, jobs=2)
        states = {trial.state for trial in ledger.study.get_trials()}
    assert states == {TrialState.FAIL}
    assert seen.running == 0


ORPHANS = """\
import sys
from pathlib import Path
from metarec_stream.tune.parallel import search_in_parallel
from tests.tune.searches import formula, ledger_in
from tests.tune.searches import Endless
from tests.tune.test_search import Seen
if __name__ == "__main__":
    ledger = ledger_in(Path(sys.argv[1]), 5)
    search_in_parallel(formula(Endless), ledger, Seen(), jobs=2)
"""


def test_no_trial_outlives_the_search(tmp_path: Path) -> None:
    """After kill -9 of the search its processes end by themselves."""
    process = subprocess.Popen(
        [sys.executable, "-c", ORPHANS, str(tmp_path)], cwd=Path(__file__).parents[2]
    )
    parent, deadline = psutil.Process(process.pid), time.monotonic() + 60
    while len(children := parent.children(recursive=True)) < 2:
        assert time.monotonic() < deadline, "no processes were started"
        time.sleep(0.05)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
