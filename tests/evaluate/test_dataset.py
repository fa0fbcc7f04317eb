"""Files of events: what is read, what is dropped and said, and what each fault says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from metarec_stream.datasets.settings import SyntheticSettings
from metarec_stream.datasets.synthetic import START_MS, synthetic_stream
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.dataset import (
    Columns,
    EventTable,
    TimeUnit,
    columns_of,
    read_events,
    table_of,
)
from metarec_stream.settings_sources import BadConfiguration

COLUMNS = Columns(user="who", item="what", time="when")
NOW = 1_700_000_000
Rows = dict[str, list[object]]
ROWS: Rows = {"who": ["a", "b", "a"], "what": ["x", "y", "z"], "when": [NOW, NOW + 1, NOW + 2]}


def written(path: Path, rows: Rows) -> Path:
    """The rows as a file of the kind that the suffix says."""
    frame = pl.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".csv":
        frame.write_csv(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.iter_rows(named=True)))
    return path


def fault(path: Path, columns: Columns = COLUMNS) -> str:
    """The message of the Fatal that reading raises."""
    with pytest.raises(Fatal) as raised:
        read_events(path, columns)
    return str(raised.value)


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_every_kind_of_file_gives_the_same_events(tmp_path: Path, kind: str) -> None:
    """Parquet, csv and jsonl of the same rows: ids as texts, seconds as milliseconds."""
    table = read_events(written(tmp_path / f"events.{kind}", ROWS), COLUMNS)
    assert table.user == ["a", "b", "a"]
    assert table.item == ["x", "y", "z"]
    assert table.ts.tolist() == [1_000 * (NOW + later) for later in (0, 1, 2)]
    assert (table.type, table.value, table.notes) == (None, None, ())


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_type_and_value_are_read_with_their_gaps(tmp_path: Path, kind: str) -> None:
    """A row without type or value keeps None and NaN."""
    rows: Rows = {**ROWS, "how": ["cart", None, "like"], "much": [1.5, 2.0, None]}
    columns = Columns("who", "what", "when", type="how", value="much")
    table = read_events(written(tmp_path / f"events.{kind}", rows), columns)
    assert table.type == ["cart", None, "like"]
    assert table.value is not None
    np.testing.assert_array_equal(table.value, [1.5, 2.0, np.nan])


def test_ids_of_a_csv_keep_their_zeros(tmp_path: Path) -> None:
    """The user 007 is not the user 7."""
    path = tmp_path / "events.csv"
    path.write_text("who,what,when\n007,01,5\n7,1,6\n")
    table = read_events(path, COLUMNS)
    assert (table.user, table.item) == (["007", "7"], ["01", "1"])


def test_number_ids_become_texts(tmp_path: Path) -> None:
    """Integer ids are written out."""
    table = read_events(written(tmp_path / "e.parquet", {**ROWS, "who": [3, 1, 2]}), COLUMNS)
    assert table.user == ["3", "1", "2"]


def test_rows_without_user_item_or_time_are_dropped_and_said(tmp_path: Path) -> None:
    """Null and empty ids and null times go, with their number in the notes."""
    rows: Rows = {
        "who": ["a", None, "b", "", "c"],
        "what": ["x", "y", None, "z", "w"],
        "when": [NOW, NOW, NOW, NOW, None],
    }
    table = read_events(written(tmp_path / "e.parquet", rows), COLUMNS)
    assert (table.user, table.item) == (["a"], ["x"])
    assert table.notes == ("4 rows without user, item or time were dropped",)


def test_unsorted_rows_are_sorted_stably_and_it_is_said(tmp_path: Path) -> None:
    """Order of time; equal times in the file's order."""
    rows: Rows = {
        "who": [f"u{row}" for row in range(5_000)],
        "what": ["x"] * 5_000,
        "when": [row * 7 % 3 for row in range(5_000)],
    }
    table = read_events(written(tmp_path / "e.parquet", rows), COLUMNS)
    assert table.user == [
        f"u{row}" for when in range(3) for row in range(5_000) if row * 7 % 3 == when
    ]
    assert any("sorted" in note for note in table.notes)


def test_limit_takes_the_first_rows_of_the_file(tmp_path: Path) -> None:
    """The limit counts rows of the file, before they are sorted."""
    rows: Rows = {**ROWS, "when": [30, 20, 10]}
    table = read_events(written(tmp_path / "e.parquet", rows), COLUMNS, limit=2)
    assert table.user == ["b", "a"]
    assert table.item == ["y", "x"]


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        ([1.5, 2.5, 3.5], "s"),
        ([1_500, 2_500, 3_500], "ms"),
        (["1.5", "2.5", "3.5"], "s"),
        ([datetime(1970, 1, 1, 0, 0, s, 500_000, tzinfo=UTC) for s in (1, 2, 3)], "s"),
        ([f"1970-01-01T00:00:0{s}.500" for s in (1, 2, 3)], "s"),
        ([f"1970-01-01T02:00:0{s}.500+02:00" for s in (1, 2, 3)], "s"),
    ],
)
def test_times_of_every_notation(tmp_path: Path, times: list[object], unit: str) -> None:
    """Seconds, milliseconds, numbers as text, dates and ISO 8601 texts, with or without a zone."""
    columns = Columns("who", "what", "when", time_unit="ms" if unit == "ms" else "s")
    table: EventTable = read_events(
        written(tmp_path / "e.parquet", {**ROWS, "when": times}), columns
    )
    assert table.ts.tolist() == [1_500, 2_500, 3_500]


UNITS: dict[TimeUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@pytest.mark.parametrize("true", UNITS)
@pytest.mark.parametrize("said", UNITS)
def test_times_in_another_unit_are_refused(tmp_path: Path, said: TimeUnit, true: TimeUnit) -> None:
    """Too large (beyond 2200) or too small (in 1970): the message names the unit to say."""
    rows: Rows = {**ROWS, "when": [UNITS[true] * second for second in (NOW, NOW + 1, NOW + 2)]}
    path = written(tmp_path / "e.parquet", rows)
    columns = Columns("who", "what", "when", said)
    if said == true:
        assert read_events(path, columns).ts.tolist() == [1_000 * (NOW + at) for at in (0, 1, 2)]
        return
    where = "beyond the year 2200" if UNITS[true] > UNITS[said] else "in the year 1970"
    assert f"column when read as {said} is {where}: say --time-unit {true}" in fault(path, columns)


def test_one_good_time_does_not_hide_the_wrong_unit(tmp_path: Path) -> None:
    """A row at 0, as some logs write an unknown time, among milliseconds that are read as s."""
    rows: Rows = {**ROWS, "when": [0, 1_000 * NOW, 1_000 * NOW + 5]}
    assert "say --time-unit ms" in fault(written(tmp_path / "e.parquet", rows))


def test_a_time_in_no_unit_is_refused(tmp_path: Path) -> None:
    """Beyond 2200 in every unit; an infinite one likewise."""
    for time in (1e22, float("inf")):
        path = written(tmp_path / "e.parquet", {**ROWS, "when": [1.0, 2.0, time]})
        assert "no unit makes a date of it" in fault(path)


@pytest.mark.parametrize("unit", UNITS)
def test_times_from_a_start_of_their_own_are_read_and_said(tmp_path: Path, unit: TimeUnit) -> None:
    """Data sets that count from 0 are legitimate; 1970 is said, with how long it took."""
    days: list[object] = [UNITS[unit] * 86_400 * day for day in (0, 1, 30)]
    path = written(tmp_path / "e.parquet", {**ROWS, "when": days})
    table = read_events(path, Columns("who", "what", "when", unit))
    assert table.ts.tolist() == [0, 86_400_000, 30 * 86_400_000]
    (note,) = table.notes
    assert "before the year 1990" in note
    assert "30 days from first to last" in note


def test_repeated_rows_are_kept_and_counted(tmp_path: Path) -> None:
    """Two clicks within a second are two events; the number says whether that can be meant."""
    rows: Rows = {
        "who": ["a", "a", "a", "b", "a"],
        "what": ["x", "x", "x", "x", "x"],
        "when": [NOW, NOW, NOW, NOW, NOW + 1],
        "stars": [1.0, 1.0, 2.0, 1.0, 1.0],
    }
    path = written(tmp_path / "e.parquet", rows)
    table = read_events(path, COLUMNS)
    assert len(table) == 5
    assert table.notes == ("2 rows say the same as an earlier one and were kept, as events",)
    valued = read_events(path, Columns("who", "what", "when", value="stars"))
    assert valued.notes == ("1 rows say the same as an earlier one and were kept, as events",)


def test_values_that_are_not_there_or_no_numbers_are_counted(tmp_path: Path) -> None:
    """NaN and null alike: the event is kept, without a value."""
    path = written(tmp_path / "e.parquet", {**ROWS, "stars": [float("nan"), 3.0, None]})
    table = read_events(path, Columns("who", "what", "when", value="stars"))
    assert table.value is not None
    np.testing.assert_array_equal(table.value, [np.nan, 3.0, np.nan])
    assert table.notes == ("2 rows have no number in stars: they were kept without",)


def test_rows_of_one_time_keep_the_files_order_and_it_is_said(tmp_path: Path) -> None:
    """Nothing tells their order but the file; a single row needs no note."""
    path = written(tmp_path / "e.parquet", {**ROWS, "when": [NOW] * 3})
    table = read_events(path, COLUMNS)
    assert table.item == ["x", "y", "z"]
    assert table.notes == ("all rows have the same time: they were taken in the file's order",)
    assert read_events(path, COLUMNS, limit=1).notes == ()


def test_columns_have_to_be_named() -> None:
    """Guessing would read the wrong thing; type and value may be left out."""
    given = {"user": "u", "item": "i", "time": "t", "type": None, "value": None}
    assert columns_of(Path("e.csv"), given, "ms") == Columns("u", "i", "t", "ms")
    for name in ("user", "item", "time"):
        with pytest.raises(BadConfiguration, match="say which columns to read with --user"):
            columns_of(Path("e.csv"), {**given, name: None}, "s")


def test_a_stream_that_is_made_up_is_a_table_like_any_other() -> None:
    """Names by number of arrival, its times, clicks; the limit takes the first events."""
    stream = synthetic_stream(SyntheticSettings(events=50), seed=3)
    table = table_of(stream)
    assert table.user == [f"user-{number}" for number in stream.users]
    assert table.item == [f"item-{number}" for number in stream.items]
    assert (table.ts[0], table.type, table.value, table.notes) == (START_MS, None, None, ())
    assert table_of(stream, 10).item == table.item[:10]
    assert len(table_of(stream, 10).ts) == 10


def test_a_missing_column_names_those_there_are(tmp_path: Path) -> None:
    """The message holds the missing name and the columns of the file."""
    message = fault(written(tmp_path / "e.csv", ROWS), Columns("user", "what", "when"))
    assert "no column user" in message
    assert "who, what, when" in message


def test_times_that_are_no_times_are_refused(tmp_path: Path) -> None:
    """Text that is neither a number nor a date names its column."""
    rows: Rows = {**ROWS, "when": ["soon", "later", "never"]}
    assert "column when" in fault(written(tmp_path / "e.csv", rows))


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    """A value column of texts names its column."""
    path = written(tmp_path / "e.csv", {**ROWS, "much": ["a", "b", "c"]})
    assert "column much" in fault(path, Columns("who", "what", "when", value="much"))


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_an_unreadable_file_is_refused(tmp_path: Path, kind: str) -> None:
    """Bytes that are no such file, an empty file and no file: each a Fatal that names it."""
    broken = tmp_path / f"broken.{kind}"
    broken.write_bytes(b"\x00\xff{[" * 20)
    empty = tmp_path / f"empty.{kind}"
    empty.write_bytes(b"")
    for path in (broken, empty, tmp_path / f"absent.{kind}"):
        assert str(path) in fault(path)


def test_a_file_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    """Columns without rows, and rows without users."""
    assert "no event" in fault(written(tmp_path / "none.csv", {name: [] for name in ROWS}))
    lost: Rows = {**ROWS, "who": [None, None, None]}
    assert "3 rows without" in fault(written(tmp_path / "lost.parquet", lost))


def test_an_unknown_extension_names_those_that_are_known(tmp_path: Path) -> None:
    """The message lists what can be read."""
    path = tmp_path / "events.xlsx"
    path.write_bytes(b"PK")
    assert ".parquet, .csv, .jsonl" in fault(path)
