"""Events from a parquet, csv or jsonl file, in the order of their time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metarec_stream.errors import Fatal

TimeUnit = Literal["s", "ms"]

_MILLISECONDS: dict[TimeUnit, int] = {"s": 1_000, "ms": 1}
_LATEST_MS = 7_258_118_400_000
"""The year 2200: a later time means that the unit is wrong."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a file hold what."""

    user: str
    item: str
    time: str
    time_unit: TimeUnit = "s"
    """Of a time column of numbers; dates and ISO 8601 texts need none."""
    type: str | None = None
    value: str | None = None

    def named(self) -> list[str]:
        """The columns that are read."""
        names = (self.user, self.item, self.time, self.type, self.value)
        return [name for name in names if name is not None]


@dataclass(frozen=True, slots=True)
class EventTable:
    """Events in the order of their time; rows of equal time keep the file's order."""

    user: list[str]
    item: list[str]
    ts: NDArray[np.int64]
    """[n] milliseconds since the epoch."""
    type: list[str | None] | None = None
    """Interaction types; None where the file has none."""
    value: NDArray[np.float64] | None = None
    """[n] NaN where a row has none."""
    notes: tuple[str, ...] = ()
    """What was done to the file's rows on the way, to be told to the user."""

    def __len__(self) -> int:
        return len(self.user)


def read_events(path: Path, columns: Columns, limit: int | None = None) -> EventTable:
    """Read the first `limit` rows (all if None) of a file.

    Rows without user, item or time are dropped, and the rest is sorted by time (stable); both are
    said in the table's notes. Raises Fatal if the file or one of the columns cannot be read, or
    no row is left.
    """
    frame = _typed(path, _read(path, columns, limit), columns)
    kept = frame.drop_nulls(["user", "item", "ts"])
    notes = []
    if dropped := len(frame) - len(kept):
        notes.append(f"{dropped} rows without user, item or time were dropped")
    if not len(kept):
        raise Fatal(f"{path}: there is no event in it ({dropped} rows without user, item or time)")
    if not kept["ts"].is_sorted():
        kept = kept.sort("ts", maintain_order=True)
        notes.append("rows were not in the order of time and have been sorted")
    return EventTable(
        user=kept["user"].to_list(),
        item=kept["item"].to_list(),
        ts=kept["ts"].to_numpy(),
        type=kept["type"].to_list() if columns.type else None,
        value=kept["value"].fill_null(float("nan")).to_numpy() if columns.value else None,
        notes=tuple(notes),
    )


def _scan_csv(path: Path) -> pl.LazyFrame:
    # Inference would read the user "007" as the number 7: everything stays text until it is typed.
    return pl.scan_csv(path, infer_schema=False)


_SCAN: dict[str, Callable[[Path], pl.LazyFrame]] = {
    ".parquet": pl.scan_parquet,
    ".csv": _scan_csv,
    ".jsonl": lambda path: pl.scan_ndjson(path, infer_schema_length=10_000),
}


def _read(path: Path, columns: Columns, limit: int | None) -> pl.DataFrame:
    scan = _SCAN.get(path.suffix.lower())
    if scan is None:
        raise Fatal(f"{path}: unknown kind of file; readable are {', '.join(_SCAN)}")
    if not path.is_file():
        raise Fatal(f"{path}: there is no such file")
    try:
        frame = scan(path)
        there = frame.collect_schema().names()
    except pl.exceptions.NoDataError as error:
        raise Fatal(f"{path}: the file is empty") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Fatal(f"{path}: cannot be read: {_first_line(error)}") from error
    missing = [name for name in columns.named() if name not in there]
    if missing:
        raise Fatal(f"{path}: no column {', '.join(missing)}; there are {', '.join(there)}")
    frame = frame.select(list(dict.fromkeys(columns.named())))
    try:
        return (frame if limit is None else frame.head(limit)).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Fatal(f"{path}: cannot be read: {_first_line(error)}") from error


def _typed(path: Path, frame: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    found = [
        _identifiers(path, frame[columns.user]).rename("user"),
        _identifiers(path, frame[columns.item]).rename("item"),
        _times(path, frame[columns.time], columns.time_unit).rename("ts"),
    ]
    if columns.type:
        found.append(_identifiers(path, frame[columns.type]).rename("type"))
    if columns.value:
        found.append(_cast(path, frame[columns.value], pl.Float64()).rename("value"))
    return pl.DataFrame(found)


def _identifiers(path: Path, column: pl.Series) -> pl.Series:
    texts = _cast(path, column, pl.String())
    return texts.set(texts == "", None)


def _times(path: Path, column: pl.Series, unit: TimeUnit) -> pl.Series:
    """Milliseconds since the epoch, from numbers, numbers as text, dates or ISO 8601."""
    if column.dtype == pl.String:
        numbers = column.cast(pl.Float64, strict=False)
        readable = numbers.null_count() == column.null_count()
        column = numbers if readable else _parsed(path, column)
    if column.dtype.is_temporal():
        return _cast(path, column, pl.Datetime("ms")).dt.epoch("ms")
    times = _cast(path, column, pl.Float64()) * _MILLISECONDS[unit]
    newest = times.max()
    if isinstance(newest, float) and newest > _LATEST_MS:
        raise Fatal(
            f"{path}: column {column.name} read as {unit} is beyond the year 2200; "
            f"say --time-unit {'ms' if unit == 's' else 's'} if that is what it holds"
        )
    return _cast(path, times.fill_nan(None).round(), pl.Int64())


def _parsed(path: Path, column: pl.Series) -> pl.Series:
    try:
        return column.str.to_datetime(time_unit="ms", time_zone="UTC")
    except pl.exceptions.PolarsError as error:
        raise Fatal(
            f"{path}: column {column.name} holds neither numbers nor ISO 8601 times: "
            f"{_first_line(error)}"
        ) from error


def _cast(path: Path, column: pl.Series, kind: pl.DataType) -> pl.Series:
    try:
        return column.cast(kind)
    except pl.exceptions.PolarsError as error:
        raise Fatal(
            f"{path}: column {column.name} ({column.dtype}) cannot be read as {kind}: "
            f"{_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
