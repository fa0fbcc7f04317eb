"""JODIE's own data: edits of Wikipedia's pages."""

from __future__ import annotations

from pathlib import Path

from metarec_stream.evaluate.dataset import Columns, read_events
from metarec_stream.evaluate.protocols.jodie import jodie
from metarec_stream.evaluate.protocols.trial import Trial

FILE = "jodie_wikipedia.csv"


def jodie_wikipedia(folder: Path, seed: int) -> Trial:
    """JODIE's protocol on the first three columns of its file; nothing is drawn."""
    return jodie(read_events(folder / FILE, Columns("user_id", "item_id", "timestamp")))
