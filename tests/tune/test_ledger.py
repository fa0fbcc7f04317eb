"""The study on disk: bounded, seeded, and whole again after whatever ended the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from metarec_stream.errors import Fatal
from metarec_stream.tune.ledger import JOURNAL
from tests.tune.searches import ledger_in, quality

PRESENT = {"learn.table_rate": 0.05, "learn.steps": 2}


def run(folder: Path, trials: int, leave_running: int = 0, **more: Any) -> list[dict[str, Any]]:
    """Run trials by the formula, leave some unfinished; the settings of all finished ones."""
    with closing(ledger_in(folder, trials, **more)) as ledger:
        for _ in range(leave_running):
            assert ledger.ask() is not None
        while not leave_running and (trial := ledger.ask()) is not None:
            ledger.complete(trial, quality(trial.params))
        return [trial.params for trial in ledger.finished()]


def test_the_first_trial_is_the_present_settings_and_trials_are_bounded(tmp_path: Path) -> None:
    """All within their ranges, integers as such."""
    tried = run(tmp_path, 8)
    assert tried[0] == PRESENT
    assert len(tried) == len({values["learn.table_rate"] for values in tried}) == 8
    assert all(1e-3 <= values["learn.table_rate"] <= 1e-1 for values in tried)
    assert {type(values["learn.steps"]) for values in tried} == {int}
    assert run(tmp_path, 8) == tried
    assert run(tmp_path, 9)[:8] == tried


def test_the_same_seed_draws_the_same_however_often_it_is_interrupted(tmp_path: Path) -> None:
    """Past the ten random trials TPE begins; another seed draws otherwise."""
    whole = run(tmp_path / "whole", 14)
    for trials in (0, 3, 3, 12):
        run(tmp_path / "parts", trials)
        run(tmp_path / "parts", trials + 1, leave_running=1)
    assert run(tmp_path / "parts", 14) == whole
    assert run(tmp_path / "other", 14, seed=1)[1:] != whole[1:]


def test_a_trial_that_was_running_is_failed_and_others_are_kept(tmp_path: Path) -> None:
    """Several at once may have been."""
    finished = run(tmp_path, 4)
    run(tmp_path, 7, leave_running=3)
    assert len(run(tmp_path, 5)) == 5
    with closing(ledger_in(tmp_path, 5)) as ledger:
        states = [trial.state for trial in ledger.study.get_trials()]
        assert states.count(TrialState.FAIL) == 3
        assert states.count(TrialState.COMPLETE) == 5
        assert [trial.params for trial in ledger.finished()][:4] == finished
        best = ledger.require_best()
        assert best.value == max(quality(trial.params) for trial in ledger.finished())


KILLED = """\
import sys, time
from pathlib import Path
from tests.tune.searches import ledger_in, quality
ledger = ledger_in(Path(sys.argv[1]), 10)
for number in range(3):
    trial = ledger.ask()
    if number < 2:
        ledger.complete(trial, quality(trial.params))
print("running", flush=True)
time.sleep(60)
"""


def test_it_goes_on_after_kill_9(tmp_path: Path) -> None:
    """Also if the process died while it wrote, or while it held the journal's lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    with pytest.raises(Fatal, match="another process works on the search"):
        ledger_in(tmp_path, 10)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code":6,"worker_id":')
    (tmp_path / f"{JOURNAL}.lock").symlink_to(tmp_path / JOURNAL)
    tried = run(tmp_path, 4)
    assert tried[0] == PRESENT
    assert tried == run(tmp_path / "whole", 4)


def test_a_hopeless_trial_is_pruned(tmp_path: Path) -> None:
    """Below the median of those that went through, at the same segment; a good one is not."""
    with closing(ledger_in(tmp_path, 10)) as ledger:
        for number in range(5):
            trial = ledger.ask()
            assert trial is not None
            assert not ledger.report(trial, 1, 0.3 + number / 10)
            ledger.complete(trial, 0.3 + number / 10)
        good, bad = ledger.ask(), ledger.ask()
        assert good is not None
        assert bad is not None
        assert not ledger.report(good, 1, 0.6)
        assert ledger.report(bad, 1, 0.4)
        ledger.prune(bad)
        ledger.complete(good, 0.6)
        assert len(ledger.finished()) == 7
        assert ledger.require_best().value == 0.7


def test_no_trial_begins_after_the_seconds(tmp_path: Path) -> None:
    """However few there are; what went through before is kept."""
    run(tmp_path, 2)
    assert len(run(tmp_path, 5, seconds=1e-9)) == 2


def test_another_search_in_the_folder_is_refused(tmp_path: Path) -> None:
    """Trials of different searches do not compare; the message says in what they differ."""
    run(tmp_path, 1)
    with pytest.raises(Fatal, match="a search with other settings:"):
        ledger_in(tmp_path, 1, seed=1)
    with pytest.raises(Fatal, match="a search with other search:"):
        ledger_in(tmp_path, 1, search="learn.steps")


def test_a_journal_that_is_none_is_said(tmp_path: Path) -> None:
    """With its path; nothing is thrown away."""
    (tmp_path / JOURNAL).write_text("not a journal\nat all\n")
    with pytest.raises(Fatal, match="no study that can be read"):
        ledger_in(tmp_path, 1)
    assert (tmp_path / JOURNAL).read_text() == "not a journal\nat all\n"


def test_nothing_went_through_is_an_error(tmp_path: Path) -> None:
    """There is no best of nothing."""
    with (
        closing(ledger_in(tmp_path, 1, seconds=1e-9)) as ledger,
        pytest.raises(Fatal, match="nothing to write"),
    ):
        ledger.require_best()
