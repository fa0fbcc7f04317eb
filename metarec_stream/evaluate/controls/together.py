"""Controls where all events of one time are ranked before any of them is applied.

Each group of events is written down twice: first the rows that are asked for, which change
nothing, then the rows that happen. So no control needs to know of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metarec_stream.evaluate.controls.control import Control
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream, history


def run_control(control: Control, stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """What a control makes of a stream, under `simultaneous` of either kind; rows of the stream."""
    if protocol.simultaneous == "in_order":
        return control(stream, protocol, seed)
    first = protocol.first_scored(len(stream))
    origin, applied = asked_then_applied(stream, first)
    twice = written_twice(stream, origin, applied)
    # Twice the share's row, to the row: a group is cut where scoring begins.
    exact = replace(protocol, simultaneous="in_order", score_from=first / max(len(stream), 1))
    ranked = control(twice, exact, seed)
    return replace(ranked, rows=origin[ranked.rows])


def asked_then_applied(stream: Stream, cut: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """[2 n] the row that each new row is of, and whether the event happens there.

    A group is cut at a row: the events before it have happened for those from it on, as where a
    stream is split into parts (CoPE).
    """
    rows = np.arange(len(stream))
    begins = np.ones(len(stream), np.bool_)
    begins[1:] = (stream.ts[1:] != stream.ts[:-1]) | (rows[1:] == cut)
    group = np.cumsum(begins)
    applied = np.repeat([False, True], len(stream))
    order = np.lexsort((np.tile(rows, 2), applied, np.tile(group, 2)))
    return np.tile(rows, 2)[order], applied[order]


def written_twice(stream: Stream, origin: NDArray[np.int64], applied: NDArray[np.bool_]) -> Stream:
    """The stream over those rows."""
    users, items = stream.users[origin], stream.items[origin]
    repeat, earlier, previous = history(users, items, applied)
    return replace(
        stream,
        users=users,
        items=items,
        ts=stream.ts[origin],
        applied=applied,
        outcome=stream.outcome[origin] & applied,
        asked=stream.asked[origin] & ~applied,
        repeat=repeat,
        earlier=earlier,
        previous=previous,
        parts={name: part[origin] for name, part in stream.parts.items()},
    )
