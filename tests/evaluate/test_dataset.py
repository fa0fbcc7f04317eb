"""Files of events: what is read, what is dropped and said, and what each fault says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from metarec_stream.errors import Fatal
from metarec_stream.evaluate.dataset import Columns, EventTable, read_events

COLUMNS = Columns(user="who", item="what", time="when")
Rows = dict[str, list[object]]
ROWS: Rows = {"who": ["a", "b", "a"], "what": ["x", "y", "z"], "when": [10, 20, 30]}


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
    assert table.ts.tolist() == [10_000, 20_000, 30_000]
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
        "when": [1, 2, 3, 4, None],
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


def test_milliseconds_read_as_seconds_are_refused(tmp_path: Path) -> None:
    """A time beyond 2200 means the wrong unit, and the message names the flag."""
    rows: Rows = {**ROWS, "when": [1_506_826_800_026] * 3}
    path = written(tmp_path / "e.parquet", rows)
    assert "--time-unit ms" in fault(path)
    assert read_events(path, Columns("who", "what", "when", "ms")).ts[0] == 1_506_826_800_026


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
