"""The plots of the report, as SVG files that are the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metarec_stream.benchmark.cells import Point
from metarec_stream.benchmark.measurement import CURVE_MEASURE
from metarec_stream.benchmark.protocols import shown
from metarec_stream.benchmark.summary import ModelSummary, ProtocolSummary
from metarec_stream.evaluate.models import DEFAULT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DEFAULT_COLOUR, _ABLATION_COLOUR, _CONTROL_COLOUR = "#1f77b4", "#9ecae1", "#b0b0b0"
_COLOURS = 10
"""Of matplotlib's cycle: beyond them lines are dashed."""


def draw_plots(summary: ProtocolSummary, folder: Path) -> list[Path]:
    """Bars with intervals, the learning curves and the adaptation curves of a protocol.

    Returns the files written; a plot that would be empty is none.
    """
    name = summary.benchmark.name
    if not summary.models:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [save_plot(folder / f"{name}-scores.svg", lambda axes: _bars(axes, summary))]
    if any(len(each.learning) > 1 for each in summary.models):
        drawn.append(
            save_plot(folder / f"{name}-learning.svg", lambda axes: _learning(axes, summary))
        )
    if any(len(each.adaptation) > 1 for each in summary.models):
        path = folder / f"{name}-adaptation.svg"
        drawn.append(save_plot(path, lambda axes: _adaptation(axes, summary)))
    return drawn


def save_plot(path: Path, draw: Callable[[Axes], None]) -> Path:
    """Draw on axes of the plots' size and look, and write them; the path."""
    # Takes a second to import, and only who draws has it installed.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "metarec", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        draw(figure.add_subplot())
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path


def _bars(axes: Axes, summary: ProtocolSummary) -> None:
    main = summary.benchmark.measures[0]
    models = sorted(summary.models, key=lambda each: each.scores[main].mean)
    found = [each.scores[main] for each in models]
    axes.barh(
        [each.model for each in models],
        [each.mean for each in found],
        xerr=[each.half_width or 0.0 for each in found],
        color=[_colour(each) for each in models],
        ecolor="#404040",
        capsize=2,
    )
    if main in summary.benchmark.aims:
        axes.axvline(summary.benchmark.aims[main], color="#d62728", linestyle="--", label="aim")
        axes.legend(frameon=False, loc="lower right")
    axes.set_xlabel(shown(main))
    axes.set_title(summary.benchmark.title)


def _colour(each: ModelSummary) -> str:
    if each.is_control:
        return _CONTROL_COLOUR
    return _DEFAULT_COLOUR if each.model == DEFAULT else _ABLATION_COLOUR


def _learning(axes: Axes, summary: ProtocolSummary) -> None:
    for number, each in enumerate(summary.models):
        _curve(axes, number, each.model, [point.at for point in each.learning], each.learning)
    axes.set_xlabel("share of the stream")
    _finish(axes, summary)


def _adaptation(axes: Axes, summary: ProtocolSummary) -> None:
    places = sorted({point.at for each in summary.models for point in each.adaptation})
    for number, each in enumerate(summary.models):
        at = [float(places.index(point.at)) for point in each.adaptation]
        _curve(axes, number, each.model, at, each.adaptation)
    axes.set_xticks(range(len(places)), [f"{place:g}" for place in places])
    axes.set_xlabel("events before")
    _finish(axes, summary)


def _curve(
    axes: Axes, number: int, model: str, at: Sequence[float], points: Sequence[Point]
) -> None:
    axes.plot(
        at,
        [point.value for point in points],
        label=model,
        color=f"C{number % _COLOURS}",
        linestyle="-" if number < _COLOURS else "--",
        linewidth=2.4 if model == DEFAULT else 1.0,
        marker=".",
        zorder=3 if model == DEFAULT else 2,
    )


def _finish(axes: Axes, summary: ProtocolSummary) -> None:
    axes.set_ylabel(shown(CURVE_MEASURE))
    axes.set_ylim(bottom=0)
    axes.set_title(summary.benchmark.title)
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
