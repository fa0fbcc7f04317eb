"""A run's figures: scores over the scored events, over the stream, and by a user's history."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metarec_stream.benchmark.cells import Point
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.metrics import measures

CURVE_MEASURE = "hr@10"
"""Of the learning and adaptation curves."""
PARTS = 20
"""Of the learning curve."""
HISTORIES = (0, 1, 2, 4, 8, 16)
"""Of the adaptation curve: from this many events before, to below the next; the last to below
twice its own."""

Parts = Mapping[str, NDArray[np.bool_]]
"""[m] whether each of the scored events belongs to a part, by its name."""


def scores_of(rank: NDArray[np.float64], parts: Parts, names: Sequence[str]) -> dict[str, float]:
    """The measures by name: `hr@10`, or `hr@10 novel` for that of a part.

    Raises Fatal if there is no event to score.
    """
    scores = {}
    for name in names:
        measure, _, part = name.partition(" ")
        value = measures(rank[parts[part]] if part else rank)[measure]
        if value is None:
            raise Fatal(f"no event is scored for {name}: the data is too short for the protocol")
        scores[name] = float(value)
    return scores


def measures_by_part(rank: NDArray[np.float64], parts: Parts) -> dict[str, dict[str, float | None]]:
    """All measures of each part, and how many events it has."""
    return {name: measures(rank[at]) for name, at in parts.items()}


def learning_curve(rank: NDArray[np.float64], rows: NDArray[np.int64], events: int) -> list[Point]:
    """HR@10 over consecutive parts of as many scored events each.

    rank, rows: [m] of the scored events, in the order of the stream; events: of the whole stream.
    """
    parts = zip(np.array_split(rank, PARTS), np.array_split(rows, PARTS), strict=True)
    return [
        Point(float(np.mean(at)) / events, _hit_rate(part), len(part))
        for part, at in parts
        if len(part)
    ]


def adaptation_curve(
    rank: NDArray[np.float64], earlier: NDArray[np.int32], own: Parts
) -> list[Point]:
    """HR@10 by how many events came before; a number of events that nothing has is left out.

    rank, earlier: [m] of the scored events. own: the protocol's parts; where it tells events by
    what came before (`after 4`), those count, and else the user's earlier events.
    """
    ends = (*HISTORIES[1:], 2 * HISTORIES[-1])
    points = []
    for start, end in zip(HISTORIES, ends, strict=True):
        at = own.get(f"after {start}", (earlier >= start) & (earlier < end))
        if at.any():
            points.append(Point(float(start), _hit_rate(rank[at]), int(np.count_nonzero(at))))
    return points


def device() -> str:
    """Where the models of this process have computed: a GPU if torch has used one, or the CPU."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return str(torch.cuda.get_device_name())
    return f"CPU ({_processor()})"


def _hit_rate(rank: NDArray[np.float64]) -> float:
    return float(np.mean(rank <= 10))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
