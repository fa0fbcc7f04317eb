"""What a public protocol comes to on its data: the events, how they are scored, what is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metarec_stream.errors import Fatal
from metarec_stream.evaluate.beforehand import NOTHING, Beforehand
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Questions

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trial:
    """A protocol on its data; any model runs on it with `Evaluation` and `run_model`."""

    table: EventTable
    protocol: Protocol
    measures: tuple[str, ...]
    """Keys of a model's report, the first the one that models are compared by."""
    questions: Questions | None = None
    beforehand: Beforehand = NOTHING
    """What the default is told of items and users; controls know of interactions alone."""


def chosen_rows(table: EventTable, rows: Rows) -> EventTable:
    """The table's rows of these numbers, in their order; raises Fatal if there is none."""
    if not len(rows):
        raise Fatal("no row of the data is left for the protocol; check which file it was given")
    return table.at(rows)


def share_before(row: int, rows: int) -> float:
    """The share of so many rows that lies before one, as `Protocol` takes it."""
    return row / rows
