"""A table's rows as the records a producer would post, and which of them the service accepts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from metarec_stream.config import Settings
from metarec_stream.contract.codec import encode_interaction
from metarec_stream.contract.interaction import ERASE
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
    body, headers = encode_interaction(table.interaction(row))
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
    return Admitted(table if not refused else table.at(np.array(accepted)), notes)


def _record(table: EventTable, row: int) -> MemoryRecord:
    output = posted(table, row, "")
    timestamp = int(table.ts[row])
    return MemoryRecord("", 0, row, timestamp, output.key, output.value, output.headers)


def _said(refused: Counter[str]) -> list[str]:
    if not refused:
        return []
    detail, _ = refused.most_common(1)[0]
    return [f"{refused.total()} rows were rejected, most of them so: {detail}"]
