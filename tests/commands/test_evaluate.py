"""`metarec evaluate`: the result's shape, the flags, and what bad usage gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from metarec_stream.commands.main import main

COLUMNS = ("--user", "who", "--item", "what", "--time", "when")
MEASURES = {"mrr", "mrr@10", "hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10"}
SMALL = ("--value-sum.dimensions", "8", "--learn.device", "cpu")
SYNTHETIC = ("--models", "popularity", "--synthetic.events", "2000", "--synthetic.users", "50")


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Sixty events of six users on nine items, one of them without a user."""
    rows = {
        "who": [None if row == 30 else f"u{row % 6}" for row in range(60)],
        "what": [f"i{row * row % 9}" for row in range(60)],
        "when": list(range(60)),
        "how": ["skip" if row % 10 == 0 else "click" for row in range(60)],
    }
    path = tmp_path / "events.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return path


def result_of(
    tmp_path: Path, *arguments: str, columns: tuple[str, ...] = COLUMNS
) -> dict[str, Any]:
    """The JSON that the command writes."""
    out = tmp_path / "result.json"
    assert main(["evaluate", *arguments, *columns, "--json", str(out)]) == 0
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def test_the_result_has_the_documented_shape(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Data set, protocol, and every measure and slice of both models; the table names them."""
    result = result_of(tmp_path, str(events), "--type", "how", *SMALL)
    assert result["dataset"] == {"events": 59, "users": 6, "items": 4}
    assert result["protocol"]["score_from"] == 0.5
    assert set(result["models"]) == {"default", "popularity"}
    for found in result["models"].values():
        whole = {"coverage@10", "scored", "events_per_second", "slices", "calibration"}
        assert set(found) == MEASURES | whole
        assert found["scored"] == 28
        assert set(found["slices"]) == {"repeat", "novel", "new_user"}
        for part in found["slices"].values():
            assert set(part) == MEASURES | {"scored"}
    said = capsys.readouterr()
    assert "popularity" in said.out
    assert "1 rows without user, item or time were dropped" in said.err


def test_flags_reach_the_protocol(events: Path, tmp_path: Path) -> None:
    """Every flag of the protocol, the limit and the seed are in the result."""
    flags = (
        "--score-from", "0.2", "--candidates", "all", "--repeats", "mask", "--negatives", "3",
        "--ties", "pessimistic", "--outer-every", "16", "--seed", "5", "--limit", "20",
        "--models", "popularity",
    )  # fmt: skip
    result = result_of(tmp_path, str(events), *flags)
    assert result["protocol"] == {
        "score_from": 0.2,
        "candidates": "all",
        "repeats": "mask",
        "negatives": 3,
        "ties": "pessimistic",
        "simultaneous": "in_order",
        "learn_until": 1.0,
        "outer_every": 16,
        "seed": 5,
    }
    assert result["dataset"]["events"] == 20
    assert set(result["models"]) == {"popularity"}


@pytest.mark.parametrize("models", ["default,magic", "magic", ","])
def test_an_unknown_model_is_a_usage_error_that_names_the_models(
    events: Path, models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, and the names that there are."""
    assert main(["evaluate", str(events), *COLUMNS, "--models", models]) == 2
    assert "default, popularity" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        ("--score-from", "1.5"),
        ("--candidates", "some"),
        ("--negatives", "-1"),
        ("--outer-every", "0"),
        ("--limit", "0"),
        ("--time-unit", "min"),
        ("--value-sum.dimensions", "0"),
        ("--learn.table-rate", "nan"),
        ("--seed", "-1"),
        ("--synthetic.focus", "1.5"),
        ("--synthetic.change-at", "[20, 10]"),
    ],
)
def test_a_bad_flag_is_a_usage_error(
    events: Path, flags: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2 before anything is read, and the flag or its setting is named."""
    assert main(["evaluate", str(events), *COLUMNS, *flags]) == 2
    said = capsys.readouterr().err
    assert flags[0].removeprefix("--").replace("-", "_") in said.replace("-", "_")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        ("", "the file is empty"),
        ("who,what,when\n", "there is no event in it"),
        ("who,what\na,x\n", "no column when; there are who, what"),
        ("who,what,when\na,x,soon\n", "neither numbers nor ISO 8601 times"),
        ("who,what,when\na,x,1700000000000\n", "say --time-unit ms"),
        ("who,what,when\n,x,1700000000\na,,1700000001\n", "2 rows without user, item or time"),
        ("who,what,when\na,x,-5\nb,y,-4\n", "2 rows were rejected"),
    ],
)
def test_a_bad_file_ends_with_one_line(
    tmp_path: Path, content: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1, what is wrong with the file, and no stack trace."""
    path = tmp_path / "events.csv"
    if content is not None:
        path.write_text(content)
    assert main(["evaluate", str(path), *COLUMNS]) == 1
    written = capsys.readouterr().err
    assert said in written
    assert "Traceback" not in written
    assert len(written.splitlines()) == 1


def test_a_file_needs_its_columns_named(events: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, and the flags that are missing."""
    assert main(["evaluate", str(events), "--user", "who"]) == 2
    assert "--user, --item and --time" in capsys.readouterr().err


def test_odd_rows_give_a_result_and_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Out of order, twice the same, without a value, from 1970: each a line on standard error."""
    path = tmp_path / "events.csv"
    path.write_text("who,what,when,stars\nb,y,30,2\na,x,10,nan\na,x,10,NaN\na,y,20,1\n")
    result = result_of(tmp_path, str(path), "--models", "popularity", "--value", "stars")
    assert result["dataset"] == {"events": 4, "users": 2, "items": 2}
    lines = capsys.readouterr().err.splitlines()
    for said in ("have been sorted", "1 rows say the same", "2 rows have no number", "1990"):
        assert sum(said in line for line in lines) == 1


def test_next_to_nothing_gives_a_result(tmp_path: Path) -> None:
    """One user, one item, ten events of one time: the default knows the answer all the same."""
    path = tmp_path / "events.csv"
    path.write_text("who,what,when\n" + "ann,hat,1700000000\n" * 10)
    result = result_of(tmp_path, str(path), "--models", "default", *SMALL)
    assert result["dataset"] == {"events": 10, "users": 1, "items": 1}
    assert result["models"]["default"]["scored"] == 5
    assert result["models"]["default"]["mrr"] == 1.0


def test_nothing_scored_gives_no_figures(events: Path, tmp_path: Path) -> None:
    """A share of 1 leaves no event to score: the measures are null, and none is made up."""
    result = result_of(tmp_path, str(events), "--models", "popularity", "--score-from", "1")
    assert result["models"]["popularity"]["scored"] == 0
    assert result["models"]["popularity"]["mrr"] is None


def test_the_synthetic_stream_needs_no_columns(tmp_path: Path) -> None:
    """Made up as its settings say; the limit takes its first events, the seed is another stream."""
    result = result_of(tmp_path, "synthetic", *SYNTHETIC, columns=())
    assert result["dataset"]["events"] == 2_000
    assert 50 < result["dataset"]["users"] < 250
    again = result_of(tmp_path, "synthetic", *SYNTHETIC, columns=())
    other = result_of(tmp_path, "synthetic", *SYNTHETIC, "--seed", "1", columns=())
    assert again["dataset"] == result["dataset"]
    assert again["models"]["popularity"]["mrr"] == result["models"]["popularity"]["mrr"]
    assert other["dataset"] != result["dataset"]
    few = result_of(tmp_path, "synthetic", *SYNTHETIC, "--limit", "30", columns=())
    assert few["dataset"]["events"] == 30


def test_a_result_that_cannot_be_written_is_said(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1 and the path, and the table was still printed."""
    lost = str(tmp_path / "absent" / "result.json")
    flags = ("--models", "popularity", "--json", lost)
    assert main(["evaluate", str(events), *COLUMNS, *flags]) == 1
    said = capsys.readouterr()
    assert lost in said.err
    assert "popularity" in said.out
