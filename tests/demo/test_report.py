"""The summary and the JSON of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from metarec_stream.demo.measurements import Quality, Reading
from metarec_stream.demo.report import Report, progress_line

READING = Reading(
    accepted=59_000,
    handled=60_000,
    lag=0.0,
    meta_version=9,
    ranked=50_000,
    quality={"model": Quality(0.3, 0.2), "popularity": Quality(0.1, 0.05)},
    latency=((0.05, 50.0), (0.1, 100.0), (float("inf"), 100.0)),
)


SETTLED = replace(READING, latency=((0.05, 10.0), (0.1, 60.0), (float("inf"), 60.0)))


def test_the_json_has_the_names_that_programs_rely_on(tmp_path: Path) -> None:
    """Every figure, accepted events counted, latencies in milliseconds."""
    file = tmp_path / "demo.json"
    Report(READING, seconds=100.0, meta_versions=[3, 9]).write(file)
    assert json.loads(file.read_text()) == {
        "events": 59_000,
        "seconds": 100.0,
        "events_per_second": 590.0,
        "latency_ms": {"p50": 50.0, "p99": 99.0, "p99_settled": None},
        "meta_versions": [3, 9],
        "model": {"hr@10": 0.3, "mrr": 0.2},
        "popularity": {"hr@10": 0.1, "mrr": 0.05},
    }


def test_a_run_without_a_recommendation_is_still_json(tmp_path: Path) -> None:
    """NaN is none: latencies that nobody measured are null."""
    file = tmp_path / "demo.json"
    Report(Reading(), seconds=0.0, meta_versions=[]).write(file)
    figures = json.loads(file.read_text(), parse_constant=lambda text: 1 / 0)
    assert figures["latency_ms"] == {"p50": None, "p99": None, "p99_settled": None}
    assert figures["events_per_second"] == 0.0


def test_the_summary_compares_with_popularity() -> None:
    """What a reader looks for first."""
    summary = Report(READING, 100.0, [3, 9]).summary()
    assert "model 0.300, 3.0 times popularity's 0.100" in summary
    assert "59,000 events in 100.0 s (590/s)" in summary
    assert "published: 3, 9" in summary
    assert "popularity's 0.000" in Report(Reading(), 1.0, []).summary()


def test_the_first_seconds_are_told_apart() -> None:
    """Of 40 lists after them all took at most 50 ms; with none after them nothing is said."""
    report = Report(READING, 100.0, [], SETTLED)
    assert report.as_dict()["latency_ms"]["p99_settled"] == 49.5
    assert "p99 99 ms (50 ms after the first 10 s)\n" in report.summary()
    assert "after the first" not in Report(READING, 100.0, [], READING).summary()


def test_a_progress_line_has_the_figures() -> None:
    """One line, with how far it is."""
    line = progress_line(READING, 120_000, 666.6)
    assert line.startswith("60,000 of 120,000 events, 667/s, lag 0, p50 50 ms, p99 99 ms")
    assert "\n" not in line
