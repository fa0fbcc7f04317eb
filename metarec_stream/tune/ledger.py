"""The trials of a search, in an Optuna study on disk that survives whatever ends the process."""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from metarec_stream.errors import Fatal
from metarec_stream.tune.space import Range, Value, described

Pruner = Literal["median", "halving", "none"]

JOURNAL = "study.journal"
_STUDY = "metarec"
_DESCRIPTION = "description"
_PRESENT = "present"
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, slots=True)
class Bounds:
    """When no further trial begins."""

    trials: int
    """Finished trials in the study, those of earlier runs included."""
    seconds: float | None = None
    """Since this run began; a trial that runs by then is finished."""


class Ledger:
    """Hands out trials and takes in how they went; the only writer of its study.

    A trial that was running when an earlier process died is failed, and what it tried is drawn
    again. The first trial is the present settings. Sampling is by TPE (Bergstra et al. 2011),
    seeded by the seed and the number of trials so far: one trial at a time, the same trials come
    in the same order however often the search was interrupted.

    Raises Fatal if another process works on the study, or the folder holds one of another search.
    """

    def __init__(
        self,
        folder: Path,
        description: dict[str, Any],
        ranges: list[Range],
        present: dict[str, Value],
        bounds: Bounds,
        pruner: Pruner = "median",
    ) -> None:
        self._ranges = ranges
        self._bounds = bounds
        self._seed = int(description["settings"]["seed"])
        self._began = time.monotonic()
        self._lock = _locked(folder)
        self.study = _opened(folder / JOURNAL, _pruner(pruner))
        self._require_same({**description, "search": described(ranges)}, folder)
        self._fail_running()
        if not any(_PRESENT in trial.user_attrs for trial in self._not_failed()):
            self.study.enqueue_trial(present, user_attrs={_PRESENT: True})

    def ask(self) -> Trial | None:
        """The next trial, None when the bounds are reached."""
        begun = [trial for trial in self._not_failed() if trial.state != TrialState.WAITING]
        elapsed = time.monotonic() - self._began
        late = self._bounds.seconds is not None and elapsed >= self._bounds.seconds
        if late or len(begun) >= self._bounds.trials:
            return None
        seed = np.random.SeedSequence([self._seed, len(begun)]).generate_state(1)[0]
        self.study.sampler = optuna.samplers.TPESampler(seed=int(seed))
        return self.study.ask({each.name: _distribution(each) for each in self._ranges})

    def report(self, trial: Trial, segment: int, mrr: float) -> bool:
        """Take in the MRR after a segment; whether the trial is to be ended."""
        trial.report(mrr, segment)
        return trial.should_prune()

    def complete(self, trial: Trial, mrr: float) -> None:
        """The trial went through."""
        self.study.tell(trial, mrr)

    def prune(self, trial: Trial) -> None:
        """The trial was ended early."""
        self.study.tell(trial, state=TrialState.PRUNED)

    def fail(self, trial: Trial) -> None:
        """The trial did not come to a result: it counts as never begun."""
        self.study.tell(trial, state=TrialState.FAIL)

    def finished(self) -> list[FrozenTrial]:
        """Trials that went through or were ended early, in the order of their number."""
        return self.study.get_trials(deepcopy=False, states=_FINISHED)

    def best(self) -> FrozenTrial | None:
        """The trial with the largest MRR that went through, the earliest of equal ones."""
        through = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return max(through, key=lambda trial: (trial.value, -trial.number), default=None)

    def require_best(self) -> FrozenTrial:
        """The same; raises Fatal if no trial went through."""
        best = self.best()
        if best is None:
            raise Fatal(
                "no trial went through, so there is nothing to write: raise --trials or --seconds "
                "and repeat the command"
            )
        return best

    def present(self) -> FrozenTrial | None:
        """The trial of the present settings, if it went through."""
        through = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return next((trial for trial in through if _PRESENT in trial.user_attrs), None)

    def close(self) -> None:
        """Let another process work on the study."""
        self._lock.close()

    def _not_failed(self) -> list[FrozenTrial]:
        every = self.study.get_trials(deepcopy=False)
        return [trial for trial in every if trial.state != TrialState.FAIL]

    def _fail_running(self) -> None:
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)

    def _require_same(self, description: dict[str, Any], folder: Path) -> None:
        wanted = json.loads(json.dumps(description))
        found = self.study.user_attrs.get(_DESCRIPTION)
        if found is None:
            self.study.set_user_attr(_DESCRIPTION, wanted)
        elif found != wanted:
            other = [name for name in wanted if found.get(name) != wanted[name]]
            raise Fatal(
                f"{folder} holds a search with other {', '.join(other)}: its trials cannot be "
                "compared with these; repeat that command to go on with it, or name another "
                "folder with --into"
            )


def _locked(folder: Path) -> IO[bytes]:
    """The journal, opened and locked; what a process left in it that died while writing is gone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        journal = (folder / JOURNAL).open("a+b")
    except OSError as error:
        raise Fatal(f"{folder}: the study cannot be kept there: {error.strerror}") from error
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        journal.close()
        raise Fatal(
            f"another process works on the search in {folder}: let it end, or name another folder "
            "with --into"
        ) from None
    with contextlib.suppress(FileNotFoundError):
        (folder / f"{JOURNAL}.lock").unlink()  # Optuna's own: held for one write
    journal.seek(0)
    journal.truncate(journal.read().rfind(b"\n") + 1)
    return journal


def _opened(journal: Path, pruner: optuna.pruners.BasePruner) -> optuna.Study:
    optuna.logging.disable_default_handler()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.enable_propagation()
    try:
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name=_STUDY,
            direction="maximize",
            load_if_exists=True,
            pruner=pruner,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Fatal(
            f"{journal} is no study that can be read ({type(error).__name__}: {error}): move it "
            "away, or name another folder with --into"
        ) from error


def _pruner(name: Pruner) -> optuna.pruners.BasePruner:
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5)
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    return optuna.pruners.NopPruner()


def _distribution(each: Range) -> BaseDistribution:
    log = each.scale == "log"
    if each.integer:
        return IntDistribution(int(each.low), int(each.high), log=log)
    return FloatDistribution(float(each.low), float(each.high), log=log)
