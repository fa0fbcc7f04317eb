"""The results on disk: a JSON file a cell, written at once or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from metarec_stream.benchmark.cells import Cell, Outcome
from metarec_stream.errors import Fatal


class ResultStore:
    """A folder with `PROTOCOL/MODEL/seed-N.json`."""

    def __init__(self, folder: Path) -> None:
        """Creates the folder; raises Fatal if it cannot be written to."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Fatal(
                f"{folder}: results cannot be kept there ({error.strerror}); "
                "name another folder with --results"
            ) from error
        self.folder = folder

    def path(self, cell: Cell) -> Path:
        """The file of a cell."""
        return self.folder / cell.protocol / cell.model / f"seed-{cell.seed}.json"

    def read(self, cell: Cell) -> Outcome | None:
        """What is kept of a cell; None if nothing is.

        Raises Fatal for a file that this program has not written.
        """
        path = self.path(cell)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Outcome)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, OSError) as error:
            raise Fatal(
                f"{path}: not a cell's result ({error}); delete it, and the cell runs again"
            ) from error

    def write(self, outcome: Outcome) -> None:
        """Keep a cell's outcome in place of an earlier one; raises Fatal if it cannot be."""
        path = self.path(outcome.cell)
        unfinished = path.with_suffix(".unfinished")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(outcome), indent=1) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError as error:
            raise Fatal(
                f"{path}: the result cannot be written ({error.strerror}); make room, then run the "
                "same command again: it goes on from here"
            ) from error
