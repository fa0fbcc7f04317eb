"""`metarec evaluate`: the result's shape, the flags, and what bad usage gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from metarec_stream.commands.main import main

COLUMNS = ("--user", "who", "--item", "what", "--time", "when")
MEASURES = {"mrr", "hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10"}
SMALL = ("--value-sum.dimensions", "8", "--learn.device", "cpu")


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


def result_of(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """The JSON that the command writes."""
    out = tmp_path / "result.json"
    assert main(["evaluate", *arguments, *COLUMNS, "--json", str(out)]) == 0
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
        whole = {"coverage@10", "scored", "events_per_second", "slices"}
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
    ],
)
def test_a_bad_flag_is_a_usage_error(events: Path, flags: tuple[str, str]) -> None:
    """Status 2 before anything is read."""
    assert main(["evaluate", str(events), *COLUMNS, *flags]) == 2


def test_a_bad_file_ends_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1 and no stack trace for a file that is not there."""
    assert main(["evaluate", str(tmp_path / "none.csv"), *COLUMNS]) == 1
    said = capsys.readouterr().err
    assert "none.csv" in said
    assert "Traceback" not in said


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
