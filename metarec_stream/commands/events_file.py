"""A file of events, as the commands take it that need no Kafka to read it."""

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
    admitted = admit(read_events(path, columns, limit), settings)
    for note in admitted.notes:
        print(f"metarec: {note}", file=sys.stderr)
    return admitted.table
