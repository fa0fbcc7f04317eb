"""The time that is left, and what a log says where there is no terminal."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from metarec_stream.benchmark.cells import Cell, Outcome
from metarec_stream.benchmark.progress import Expectation, ProgressWatch, duration
from tests.benchmark.stub import finding, four_jobs, job_of, outcome_of


def took(model: str, seconds: float) -> Outcome:
    """A finished cell of the protocol `tiny`."""
    outcome = outcome_of(job_of(Path(), model), finding(0.1))
    return msgspec.structs.replace(outcome, wall_seconds=seconds)


def test_a_cell_takes_as_long_as_its_other_seeds() -> None:
    """A model that has not run takes the mean of those that have; a failed cell says nothing."""
    expected = Expectation([took("one", 10.0), took("one", 20.0), took("two", 3.0)])
    expected.learn(outcome_of(job_of(Path(), "two"), None, "it failed"))
    assert expected.seconds(Cell("tiny", "one", 7)) == 15.0
    assert expected.seconds(Cell("tiny", "two", 7)) == 3.0
    assert expected.seconds(Cell("tiny", "three", 7)) == 9.0


def test_the_time_that_is_left() -> None:
    """The rest of the running cell and all after it; a late one counts as about to end."""
    expected = Expectation([took("one", 10.0), took("two", 3.0)])
    cells = [Cell("tiny", "one", 1), Cell("tiny", "two", 1)]
    assert expected.left(cells, running_for=4.0) == 9.0
    assert expected.left(cells, running_for=40.0) == 3.0
    assert expected.left([], running_for=0.0) == 0.0
    assert Expectation([]).left(cells, running_for=0.0) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(40.0, "40 s"), (119.0, "2 min"), (3_900.0, "1 h 05 min")]
)
def test_durations_in_words(seconds: float, text: str) -> None:
    """Seconds, minutes, hours."""
    assert duration(seconds) == text


def test_without_a_terminal_each_cell_is_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    """How many wait, and how long they will take."""
    jobs = four_jobs(Path())
    with ProgressWatch(jobs, 0, Expectation([])) as watch:
        watch.started(jobs[0])
        watch.waited()
        done = outcome_of(jobs[0], finding(0.1))
        watch.ended(done)
    said = "".join(capfd.readouterr())
    assert "tiny / one / seed 0" in said
    assert "waiting=3" in said
    assert "about 9 s left" in said
