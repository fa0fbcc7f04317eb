"""A table's rows as the records a producer would post, and which of them the service accepts."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from metarec_stream.config import Settings
from metarec_stream.contract.codec import encode_interaction
from metarec_stream.contract.interaction import ERASE, Interaction
from metarec_stream.contract.transport import Output
from metarec_stream.errors import Fatal, Rejected
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.memory.log import MemoryRecord
from metarec_stream.pipeline.decode import Decoder


@dataclass(frozen=True, slots=True)
class Admitted:
    """The rows that the service accepts, and what became of the others."""

    table: EventTable
    notes: tuple[str, ...]


def posted(table: EventTable, row: int, topic: str) -> Output:
    """The record of one row, for partition 0; its timestamp is to be the row's time."""
    kind = table.type[row] if table.type is not None else None
    value = float(table.value[row]) if table.value is not None else math.nan
    interaction = Interaction(
        user=table.user[row],
        item=table.item[row],
        ts=int(table.ts[row]),
        type=kind or "click",
        value=None if math.isnan(value) else value,
    )
    body, headers = encode_interaction(interaction)
    return Output(topic, 0, table.user[row].encode(), body, headers)


def admit(table: EventTable, settings: Settings) -> Admitted:
    """Leave out the rows that the service would reject, so that every model meets the same events.

    Raises Fatal if no row is left.
    """
    decoder = Decoder(settings.guard, settings.events)
    accepted, refused = [], Counter[str]()
    for row in range(len(table)):
        try:
            if decoder.decode(_record(table, row)).type != ERASE:
                accepted.append(row)
            else:
                refused["erase is a control interaction and no event"] += 1
        except Rejected as rejected:
            refused[str(rejected)] += 1
    notes = (*table.notes, *_said(refused))
    if not accepted:
        raise Fatal(f"no event can be accepted: {'; '.join(notes)}")
    return Admitted(table if not refused else _rows(table, accepted), notes)


def _record(table: EventTable, row: int) -> MemoryRecord:
    output = posted(table, row, "")
    timestamp = int(table.ts[row])
    return MemoryRecord("", 0, row, timestamp, output.key, output.value, output.headers)


def _said(refused: Counter[str]) -> list[str]:
    if not refused:
        return []
    detail, _ = refused.most_common(1)[0]
    return [f"{refused.total()} rows were rejected, most of them so: {detail}"]


def _rows(table: EventTable, rows: list[int]) -> EventTable:
    return replace(
        table,
        user=[table.user[row] for row in rows],
        item=[table.item[row] for row in rows],
        ts=table.ts[np.array(rows)],
        type=None if table.type is None else [table.type[row] for row in rows],
        value=None if table.value is None else table.value[np.array(rows)],
    )
