"""How fast the ranking recovers from a drift, with the learner's reaction to it and without.

The synthetic stream at its default settings, cut off a while after every user's taste has changed,
is replayed by `learn.on_drift = "react"` (the default) and by `"note"`, each seed a stream of its
own. Every event is ranked before it is learned; MRR and HR@10 of the first so many events after
the change are printed, means over seeds, and in how many seeds the reaction was ahead. Figures go
to DOCS/drift-recovery.json, and the curves to DOCS/drift-recovery.svg.

    .venv/bin/python -m benchmarks.drift_recovery --seeds 3 --docs DOCS
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.benchmark.plots import save_plot
from metarec_stream.commands.progress import event_bar
from metarec_stream.config import Settings
from metarec_stream.datasets.synthetic import synthetic_stream
from metarec_stream.evaluate.dataset import table_of
from metarec_stream.evaluate.metrics import ranks
from metarec_stream.evaluate.prequential import Pace, replay_stream
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import stream_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHANGE, AFTER = 75_000, 9_000
"""Events before the change of taste, and those that are replayed after it."""
WINDOWS = (1_024, 2_048, 4_096, 8_192)
"""First events after the change that are summed up together."""
BATCH = 256
SMOOTHED = 1_024
"""Events of a moving mean of the curves."""
POINT_EVERY = 64
SHOWN_BEFORE = 3_000
Reaction = Literal["react", "note"]
REACTIONS: tuple[Reaction, ...] = ("react", "note")


class Replayed(NamedTuple):
    """The rank of every event of a stream, 1 the best, by row."""

    rank: NDArray[np.float64]

    def after(self, events: int) -> NDArray[np.float64]:
        """The ranks of so many events from the change on."""
        return self.rank[CHANGE : CHANGE + events]

    def smoothed(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Moving means of the reciprocal ranks, after the last event of each as of the change."""
        summed = np.cumsum(np.concatenate([[0.0], 1 / self.rank]))
        mean = (summed[SMOOTHED:] - summed[:-SMOOTHED]) / SMOOTHED
        last = np.arange(SMOOTHED, len(summed))
        return last[::POINT_EVERY] - CHANGE, mean[::POINT_EVERY]


def replayed(seed: int, on_drift: Reaction) -> Replayed:
    """The stream of a seed through the service."""
    settings = Settings.model_validate(
        {
            "seed": seed,
            "learn": {"on_drift": on_drift},
            "synthetic": {"events": CHANGE + AFTER, "change_at": CHANGE},
        }
    )
    table = table_of(synthetic_stream(settings.synthetic, seed))
    stream = stream_of(table, settings.events.table(), None)
    protocol = Protocol(score_from=0.0, candidates="seen", repeats="include")
    with event_bar() as bar:
        shown = bar.add_task(f"{on_drift}, seed {seed}", total=len(stream))
        pace = Pace(BATCH, lambda done: bar.update(shown, completed=done))
        ranked = replay_stream(table, stream, protocol, settings, pace)
    rank = np.full(len(stream), np.inf)
    rank[ranked.rows] = ranks(ranked, "mid")
    return Replayed(rank)


def summary(runs: dict[Reaction, list[Replayed]]) -> dict[str, object]:
    """MRR and HR@10 by window and reaction, and how often the reaction was ahead."""
    found: dict[str, object] = {"seeds": len(runs["react"]), "change_at": CHANGE}
    for window in WINDOWS:
        mrr = {
            each: [float((1 / run.after(window)).mean()) for run in runs[each]]
            for each in REACTIONS
        }
        hits = {
            each: [float((run.after(window) <= 10).mean()) for run in runs[each]]
            for each in REACTIONS
        }
        ahead = sum(a > b for a, b in zip(mrr["react"], mrr["note"], strict=True))
        found[f"first {window}"] = {"mrr": mrr, "hr@10": hits, "react_ahead_in_seeds": ahead}
        told = ", ".join(
            f"{each} MRR {np.mean(mrr[each]):.4f} HR@10 {np.mean(hits[each]):.4f}"
            for each in REACTIONS
        )
        print(f"first {window:5,} events: {told}; ahead in {ahead} of {len(mrr['react'])} seeds")
    return found


def draw(runs: dict[Reaction, list[Replayed]], axes: Axes) -> None:
    """The recovery of both: the mean over seeds, and the seeds thinly behind it."""
    for reaction, colour in zip(REACTIONS, ("#1f77b4", "#b0b0b0"), strict=True):
        curves = [run.smoothed() for run in runs[reaction]]
        at, shown = curves[0][0], curves[0][0] >= -SHOWN_BEFORE
        for _, curve in curves:
            axes.plot(at[shown], curve[shown], color=colour, linewidth=0.5, alpha=0.5)
        mean = np.mean([curve for _, curve in curves], axis=0)
        axes.plot(at[shown], mean[shown], color=colour, label=f'on_drift = "{reaction}"')
    axes.axvline(0, color="#404040", linestyle=":")
    axes.set_xlabel(f"events since every user's taste changed ({SMOOTHED:,} events a point)")
    axes.set_ylabel("MRR")
    axes.legend(frameon=False, loc="lower right")


def main(given: Sequence[str] | None = None) -> int:
    """Run the benchmark, print it and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--docs", type=Path, required=True)
    arguments = parser.parse_args(given)
    runs: dict[Reaction, list[Replayed]] = {each: [] for each in REACTIONS}
    for seed in range(arguments.seeds):
        for each in REACTIONS:
            runs[each].append(replayed(seed, each))
    found = summary(runs)
    arguments.docs.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=2) + "\n"
    (arguments.docs / "drift-recovery.json").write_text(text, encoding="utf-8")
    save_plot(arguments.docs / "drift-recovery.svg", lambda axes: draw(runs, axes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
