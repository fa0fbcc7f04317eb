"""Events from a parquet, csv or jsonl file, or made up, in the order of their time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metarec_stream.contract.interaction import Interaction
from metarec_stream.errors import Fatal
from metarec_stream.settings_sources import BadConfiguration

if TYPE_CHECKING:
    # It brings numba, which reading a file does not need.
    from metarec_stream.contract.interaction import Interaction
from metarec_stream.datasets.synthetic import SyntheticStream

TimeUnit = Literal["s", "ms", "us", "ns"]

_MILLISECONDS: dict[TimeUnit, float] = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
_EARLIEST_MS = 631_152_000_000
"""The year 1990: times before it count from a start of their own, or in another unit."""
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
    context: tuple[str, ...] = ()
    """Entries of the events' context."""

    def named(self) -> list[str]:
        """The columns that are read."""
        names = (self.user, self.item, self.time, self.type, self.value, *self.context)
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
    context: dict[str, list[str | None]] = field(default_factory=dict)
    """By entry of the events' context, its value in each row."""

    def __len__(self) -> int:
        return len(self.user)

    def interaction(self, row: int) -> Interaction:
        """A row as the message that a producer posts."""
        kind = self.type[row] if self.type is not None else None
        value = float(self.value[row]) if self.value is not None else math.nan
        return Interaction(
            user=self.user[row],
            item=self.item[row],
            ts=int(self.ts[row]),
            type=kind or "click",
            value=None if math.isnan(value) else value,
            context={name: values[row] for name, values in self.context.items()} or None,
        )

    def at(self, rows: NDArray[np.int64]) -> EventTable:
        """The rows of these numbers, in their order."""
        numbers = rows.tolist()
        return replace(
            self,
            user=[self.user[row] for row in numbers],
            item=[self.item[row] for row in numbers],
            ts=self.ts[rows],
            type=None if self.type is None else [self.type[row] for row in numbers],
            value=None if self.value is None else self.value[rows],
            context={
                name: [values[row] for row in numbers] for name, values in self.context.items()
            },
        )


def columns_of(
    path: Path,
    given: Mapping[str, str | None],
    time_unit: TimeUnit,
    context: tuple[str, ...] = (),
) -> Columns:
    """The columns that flags name, by the fields of `Columns`.

    Raises BadConfiguration without user, item or time.
    """
    user, item, time = (given[name] for name in ("user", "item", "time"))
    if user is None or item is None or time is None:
        raise BadConfiguration(f"{path}: say which columns to read with --user, --item and --time")
    return Columns(user, item, time, time_unit, given["type"], given["value"], context)


def table_of(stream: SyntheticStream, limit: int | None = None) -> EventTable:
    """The first `limit` events (all if None) of a stream that is made up, as clicks."""
    user_names = [f"user-{number}" for number in range(len(stream.truth.user_from))]
    item_names = [f"item-{number}" for number in range(len(stream.truth.item_from))]
    return EventTable(
        user=[user_names[number] for number in stream.users[:limit].tolist()],
        item=[item_names[number] for number in stream.items[:limit].tolist()],
        ts=stream.ts[:limit],
    )


def read_events(path: Path, columns: Columns, limit: int | None = None) -> EventTable:
    """Read the first `limit` rows (all if None) of a file.

    Rows without user, item or time are dropped, and the rest is sorted by time (stable); rows that
    say the same as an earlier one are kept, as are those without a value. All that is said in the
    table's notes. Raises Fatal if the file or one of the columns cannot be read, the times are in
    another unit, or no row is left.
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
    notes += _remarks(kept, columns)
    return EventTable(
        user=kept["user"].to_list(),
        item=kept["item"].to_list(),
        ts=kept["ts"].to_numpy(),
        type=kept["type"].to_list() if columns.type else None,
        value=kept["value"].fill_null(float("nan")).to_numpy() if columns.value else None,
        notes=tuple(notes),
        context={name: kept[f"context {name}"].to_list() for name in columns.context},
    )


def _remarks(rows: pl.DataFrame, columns: Columns) -> list[str]:
    """What is unusual about rows that are kept as they are, in the order of their time."""
    found = []
    if again := len(rows) - rows.n_unique():
        found.append(f"{again} rows say the same as an earlier one and were kept, as events")
    if columns.value and (without := rows["value"].is_null().sum()):
        found.append(f"{without} rows have no number in {columns.value}: they were kept without")
    oldest, newest = int(rows["ts"][0]), int(rows["ts"][-1])
    if newest < _EARLIEST_MS:
        found.append(
            f"times end before the year 1990: read as counted from a start of their own, "
            f"{(newest - oldest) / 86_400_000:.3g} days from first to last; if that is wrong, see "
            f"--time-unit"
        )
    if oldest == newest and len(rows) > 1:
        found.append("all rows have the same time: they were taken in the file's order")
    return found


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
        found.append(_values(path, frame[columns.value]).rename("value"))
    found += [_identifiers(path, frame[name]).rename(f"context {name}") for name in columns.context]
    return pl.DataFrame(found)


def _identifiers(path: Path, column: pl.Series) -> pl.Series:
    texts = _cast(path, column, pl.String())
    return texts.set(texts == "", None)


def _values(path: Path, column: pl.Series) -> pl.Series:
    return _cast(path, column, pl.Float64()).fill_nan(None)


def _times(path: Path, column: pl.Series, unit: TimeUnit) -> pl.Series:
    """Milliseconds since the epoch, from numbers, numbers as text, dates or ISO 8601."""
    if column.dtype == pl.String:
        numbers = column.cast(pl.Float64, strict=False)
        readable = numbers.null_count() == column.null_count()
        column = numbers if readable else _parsed(path, column)
    if column.dtype.is_temporal():
        return _cast(path, column, pl.Datetime("ms")).dt.epoch("ms")
    numbers = _cast(path, column, pl.Float64()).fill_nan(None)
    _check_unit(path, numbers, unit)
    return _cast(path, (numbers * _MILLISECONDS[unit]).round(), pl.Int64())


def _check_unit(path: Path, numbers: pl.Series, unit: TimeUnit) -> None:
    """Raises Fatal if times are beyond 2200, or if another unit puts all of them after 1990.

    Small numbers alone are no fault: some data sets count from a start of their own.
    """
    oldest, newest = numbers.min(), numbers.max()
    if not isinstance(oldest, float) or not isinstance(newest, float):
        return
    fitting = [other for other in _MILLISECONDS if _is_of_our_time(newest, other)]
    beyond = newest * _MILLISECONDS[unit] > _LATEST_MS
    fits_better = unit not in fitting and any(_is_of_our_time(oldest, other) for other in fitting)
    if not beyond and not fits_better:
        return
    said = "is beyond the year 2200" if beyond else "is in the year 1970"
    advice = f"say --time-unit {fitting[0]}" if fitting else "no unit makes a date of it"
    raise Fatal(
        f"{path}: column {numbers.name} read as {unit} {said}: {advice} (its numbers are from "
        f"{oldest:.15g} to {newest:.15g})"
    )


def _is_of_our_time(number: float, unit: TimeUnit) -> bool:
    return _EARLIEST_MS <= number * _MILLISECONDS[unit] <= _LATEST_MS


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
