"""Events as the commands take them that need no Kafka to read them."""

from __future__ import annotations

import sys
from pathlib import Path

from metarec_stream.config import Settings
from metarec_stream.evaluate.admission import admit
from metarec_stream.evaluate.dataset import Columns, EventTable, read_events


def accepted_events(
    path: Path, columns: Columns, limit: int | None, settings: Settings
) -> EventTable:
    """The file's events that the service would accept; what became of others is said.

    Raises Fatal if the file or a column cannot be read, or no event is left.
    """
    return accepted(read_events(path, columns, limit), settings)


def accepted(table: EventTable, settings: Settings) -> EventTable:
    """The events that the service would accept; what became of others is said.

    Raises Fatal if none is left.
    """
    admitted = admit(table, settings)
    for note in admitted.notes:
        print(f"metarec: {note}", file=sys.stderr)
    return admitted.table
