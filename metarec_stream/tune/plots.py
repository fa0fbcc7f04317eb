"""A search as pictures: the MRR of each trial, what mattered, and a slice through each setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from metarec_stream.errors import Fatal
from metarec_stream.tune.ledger import Ledger
from metarec_stream.tune.space import Range

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEWEST_FOR_IMPORTANCE = 10
_TOP_SHARE = 0.25
"""Importance says what sets apart the best quarter: a tenth of few trials is nothing."""
_SLICES_A_ROW = 3
_BLUE, _GREY, _RED = "#1f6fb4", "#9a9a9a", "#c0392b"


def write_plots(folder: Path, ledger: Ledger, ranges: Sequence[Range]) -> list[Path]:
    """history.svg, slices.svg, and importance.svg once ten trials went through.

    Importance is PED-ANOVA's (Watanabe et al. 2023). Raises Fatal if they cannot be written.
    """
    trials = ledger.finished()
    figures = {"history": _history(trials), "slices": _slices(trials, ranges)}
    through = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if len(through) >= _FEWEST_FOR_IMPORTANCE and len({trial.value for trial in through}) > 1:
        figures["importance"] = _importance(ledger)
    return [_write(folder / f"{name}.svg", figure) for name, figure in figures.items()]


def _write(path: Path, figure: Figure) -> Path:
    # No date and fixed identifiers: the same search gives the same file.
    with mpl.rc_context({"svg.hashsalt": path.name, "svg.fonttype": "none"}):
        try:
            figure.savefig(path, metadata={"Date": None})
        except OSError as error:
            raise Fatal(f"{path}: the plot cannot be written: {error.strerror}") from error
    return path


def _history(trials: Sequence[FrozenTrial]) -> Figure:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    _scatter(axes, trials, lambda trial: trial.number)
    through = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    best = np.maximum.accumulate([trial.value for trial in through if trial.value is not None])
    axes.step([trial.number for trial in through], best, where="post", color=_RED, label="best")
    axes.set(xlabel="trial", ylabel="MRR")
    axes.legend()
    return figure


def _slices(trials: Sequence[FrozenTrial], ranges: Sequence[Range]) -> Figure:
    rows = -(-len(ranges) // _SLICES_A_ROW)
    columns = min(len(ranges), _SLICES_A_ROW)
    figure = Figure(figsize=(3.6 * columns, 3.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).flat
    for axes, each in zip(grid, ranges, strict=False):
        _scatter(axes, trials, _value_of(each.name))
        axes.set(xlabel=each.name, ylabel="MRR", xscale=each.scale)
    for axes in list(grid)[len(ranges) :]:
        axes.set_visible(False)
    return figure


def _importance(ledger: Ledger) -> Figure:
    evaluator = PedAnovaImportanceEvaluator(target_quantile=_TOP_SHARE)
    shares = get_param_importances(ledger.study, evaluator=evaluator)
    names = list(reversed(shares))
    figure = Figure(figsize=(7, 1 + 0.4 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, [shares[name] for name in names], color=_BLUE)
    axes.set(xlabel="importance for being among the best quarter (sums to 1)")
    return figure


def _scatter(
    axes: Axes, trials: Sequence[FrozenTrial], place: Callable[[FrozenTrial], float]
) -> None:
    """The MRR of trials at their places; of pruned ones, where they were ended."""
    for state, colour, mark, label in (
        (TrialState.COMPLETE, _BLUE, "o", "went through"),
        (TrialState.PRUNED, _GREY, "x", "ended early, MRR so far"),
    ):
        shown = [trial for trial in trials if trial.state == state]
        if shown:
            reached = [_reached(trial) for trial in shown]
            axes.scatter([place(trial) for trial in shown], reached, c=colour, marker=mark,
                         label=label)  # fmt: skip


def _value_of(name: str) -> Callable[[FrozenTrial], float]:
    return lambda trial: float(trial.params[name])


def _reached(trial: FrozenTrial) -> float:
    if trial.value is not None:
        return trial.value
    last = trial.last_step
    return np.nan if last is None else trial.intermediate_values[last]
