"""The report on tiny results: the page word for word, the figures, and the plots' bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from metarec_stream.benchmark.cells import Outcome
from metarec_stream.benchmark.publication import publish
from metarec_stream.benchmark.report import Absent, Report
from metarec_stream.benchmark.summary import summarise
from metarec_stream.errors import Fatal
from tests.benchmark.planted import PLANTED
from tests.benchmark.stub import finding, job_of, outcome_of

GOLDEN = Path(__file__).parent / "accuracy.md"
MODELS = ("default", "popularity", "markov")


def outcomes() -> list[Outcome]:
    """Two seeds of the default and a control, one of another control, one failure."""
    parts: dict[str, dict[str, float | None]] = {
        "repeat": {"mrr": 0.5, "hr@10": 0.6},
        "novel": {"mrr": 0.125, "hr@10": 0.25},
    }
    found = {
        ("default", 0): finding(0.25, parts),
        ("default", 1): finding(0.27, parts),
        ("popularity", 0): finding(0.1),
        ("popularity", 1): finding(0.1),
        ("markov", 0): finding(0.2),
        ("markov", 1): None,
    }
    error = "its process ended with status 1\nno such|thing"
    return [
        outcome_of(job_of(Path(), *cell), each, None if each else error)
        for cell, each in found.items()
    ]


@pytest.fixture
def report() -> Report:
    """One protocol that has run, another without its data."""
    skipped = replace(PLANTED, name="other", title="Another protocol", lead_aims={"mrr": 1.15})
    made = outcomes()
    summary = summarise(PLANTED, MODELS, made)
    return Report("metarec bench accuracy", [summary], [Absent(skipped, ("planted.csv",))], made)


def test_the_page_is_as_it_was_approved(report: Report, tmp_path: Path) -> None:
    """After a wanted change of the page: copy the new one over tests/benchmark/accuracy.md."""
    page = publish(report, tmp_path)
    assert page.read_text(encoding="utf-8") == GOLDEN.read_text(encoding="utf-8")


def test_the_figures_are_all_there(report: Report, tmp_path: Path) -> None:
    """Means, intervals, the best control, the aims and every cell."""
    publish(report, tmp_path)
    figures = json.loads((tmp_path / "accuracy.json").read_text())
    protocol = figures["protocols"]["planted"]
    assert protocol["models"]["default"]["scores"]["mrr"]["mean"] == pytest.approx(0.26)
    assert protocol["best_control"]["mrr"]["model"] == "markov"
    assert protocol["best_control"]["mrr"]["ratio"] == pytest.approx(1.3)
    assert protocol["aims"] == {"mrr": 0.9}
    assert len(figures["cells"]) == 6
    assert figures["cells"][0]["finding"]["cost"]["training_seconds"] == 2.0
    assert figures["cells"][5]["error"].startswith("its process ended")


def test_the_same_results_give_the_same_bytes(report: Report, tmp_path: Path) -> None:
    """Page, figures and plots; a plot has no date, and names its models."""
    files = []
    for name in ("first", "second"):
        publish(report, tmp_path / name)
        found = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        files.append({path.relative_to(tmp_path / name): path.read_bytes() for path in found})
    assert files[0] == files[1]
    plots = [text.decode() for path, text in files[0].items() if path.suffix == ".svg"]
    assert len(plots) == 3
    for plot in plots:
        assert "markov" in plot
        assert "<dc:date>" not in plot


def test_results_that_change_change_the_plots(report: Report, tmp_path: Path) -> None:
    """The bars are of these results, and not of a file that was there."""
    publish(report, tmp_path)
    bars = tmp_path / "accuracy" / "planted-scores.svg"
    before = bars.read_bytes()
    better = [outcome_of(job_of(Path(), "markov"), finding(0.3))]
    publish(replace(report, summaries=[summarise(PLANTED, MODELS, better)]), tmp_path)
    assert bars.read_bytes() != before


def test_a_report_without_results_names_what_is_missing(report: Report, tmp_path: Path) -> None:
    """Every cell failed: the page says so, and there is no plot."""
    empty = replace(report, summaries=[summarise(PLANTED, MODELS, outcomes()[5:])])
    text = publish(empty, tmp_path).read_text(encoding="utf-8")
    assert "No model has finished" in text
    assert "no such|thing" in text
    assert not list(tmp_path.rglob("*.svg"))


def test_a_folder_that_cannot_be_written_is_said(report: Report, tmp_path: Path) -> None:
    """The cells are kept, and the message says so."""
    (tmp_path / "docs").write_text("")
    with pytest.raises(Fatal, match="cells are kept"):
        publish(report, tmp_path / "docs")
