"""The pictures of a search: every trial is on them, and the same search draws the same."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import pytest

from metarec_stream.errors import Fatal
from metarec_stream.tune.ledger import Ledger
from metarec_stream.tune.plots import write_plots
from metarec_stream.tune.space import search_ranges
from tests.tune.searches import SEARCH, SMALL, ledger_in, quality

RANGES = search_ranges(SEARCH, SMALL, 256)


def filled(folder: Path, trials: int) -> Ledger:
    """A ledger whose every fourth trial was pruned after its first segment."""
    ledger = ledger_in(folder, trials)
    while (trial := ledger.ask()) is not None:
        ledger.report(trial, 1, quality(trial.params))
        if trial.number % 4 == 3:
            ledger.prune(trial)
        else:
            ledger.complete(trial, quality(trial.params))
    return ledger


def texts(path: Path) -> str:
    """All that is written in a picture."""
    return " ".join(ElementTree.parse(path).getroot().itertext())


def test_history_slices_and_importance_are_drawn(tmp_path: Path) -> None:
    """Text stays text; the setting that decides is the more important one."""
    with closing(filled(tmp_path, 30)) as ledger:
        paths = write_plots(tmp_path, ledger, RANGES)
    assert [path.name for path in paths] == ["history.svg", "slices.svg", "importance.svg"]
    assert "went through" in texts(paths[0])
    assert "ended early" in texts(paths[0])
    assert all(name in texts(paths[1]) for name in SEARCH.split(","))
    drawn = texts(paths[2])
    # Bars are drawn from below: the last name is the topmost, hence the most important.
    assert drawn.index("learn.steps") < drawn.index("learn.table_rate")


def test_the_same_search_draws_the_same(tmp_path: Path) -> None:
    """To the byte."""
    drawn = []
    for name in ("one", "two"):
        with closing(filled(tmp_path / name, 12)) as ledger:
            paths = write_plots(tmp_path / name, ledger, RANGES)
        drawn.append([path.read_bytes() for path in paths])
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("trials", [1, 4])
def test_few_trials_have_no_importance(tmp_path: Path, trials: int) -> None:
    """One trial, or a few, make a history all the same."""
    with closing(filled(tmp_path, trials)) as ledger:
        paths = write_plots(tmp_path, ledger, RANGES)
    assert [path.name for path in paths] == ["history.svg", "slices.svg"]


def test_a_picture_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With its path."""
    with (
        closing(filled(tmp_path / "study", 1)) as ledger,
        pytest.raises(Fatal, match=r"history\.svg: the plot cannot be written"),
    ):
        write_plots(tmp_path / "absent", ledger, RANGES)
