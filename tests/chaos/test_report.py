"""The fault matrix as a page and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metarec_stream.chaos.outcome import Outcome, Timing
from metarec_stream.chaos.plan import Planned
from metarec_stream.chaos.report import FIGURES, PAGE, Report, as_table, cells, markdown, write
from metarec_stream.errors import Fatal


def outcome(**fields: object) -> Outcome:
    """A row of a kill that went well, with these fields changed."""
    made: dict[str, object] = {
        "fault": "kill", "what": "SIGKILL", "victim": 2, "crash_at": "", "expected": "certified",
        "verdict": "certified", "events": 4_000, "lost": 0, "learned_twice": 0,
        "output_duplicates": 0, "timing": Timing(harmed_s=6.2, moved_s=1.1, others_s=0.4),
    }  # fmt: skip
    return Outcome(**{**made, **fields})  # type: ignore[arg-type]


def report(*outcomes: Outcome) -> Report:
    """A report of these."""
    return Report(
        command="metarec chaos", seed=7, device="CPU", broker="4", settings={"a.b": 1},
        plan=[Planned(fault="kill", victim=2, seed=1)], outcomes=[*outcomes],
    )  # fmt: skip


def test_a_row_says_what_was_expected_where_that_did_not_come() -> None:
    """And nothing about it where it did; what was not measured is no zero."""
    assert cells(outcome()) == ("kill", "0", "0", "0", "6.2", "1.1", "0.4", "certified")
    failed = outcome(verdict="failed", lost=None, timing=Timing())
    assert not failed.as_expected
    assert cells(failed)[1] == cells(failed)[4] == "–"
    assert cells(failed)[-1] == "failed, expected certified"
    assert outcome(verdict="degraded", expected="degraded").as_expected


def test_the_page_has_the_command_the_rows_and_what_else_was_seen() -> None:
    """Kills are expected ends; a process that ended by itself is named."""
    ended = ["consumer-2: -9", "consumer-1: 1", "consumer-3: 0"]
    page = markdown(report(outcome(ended=ended, warned={"state_rebuilt": 1}, note="a note")))
    assert "    metarec chaos\n" in page
    assert "Seed 7; CPU; Apache Kafka 4; `a.b` 1; 4,000 records in all." in page
    assert "| kill | 0 | 0 | 0 | 6.2 | 1.1 | 0.4 | certified |" in page
    assert "started again: consumer-1: 1." in page
    assert "Consumers logged: state_rebuilt 1." in page
    assert "certified: a note." in page


def test_page_and_figures_are_written_and_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    """JSON has every field of every row."""
    assert write(report(outcome()), tmp_path / "docs") == tmp_path / "docs" / PAGE
    figures = json.loads((tmp_path / "docs" / FIGURES).read_text("utf-8"))
    assert figures["outcomes"][0]["timing"]["harmed_s"] == 6.2
    assert figures["seed"] == 7
    (tmp_path / "file").write_text("")
    with pytest.raises(Fatal, match="file: the fault matrix cannot be written"):
        write(report(outcome()), tmp_path / "file")


def test_the_table_has_a_row_for_each_fault() -> None:
    """In their order."""
    assert as_table([outcome(), outcome(fault="zombie")]).row_count == 2
