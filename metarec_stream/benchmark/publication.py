"""What a benchmark leaves: `accuracy.md`, `accuracy.json` with every cell, and the plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from metarec_stream.benchmark.plots import draw_plots
from metarec_stream.benchmark.report import Report, markdown
from metarec_stream.benchmark.statistics import Estimate
from metarec_stream.benchmark.summary import ModelSummary, ProtocolSummary
from metarec_stream.errors import Fatal

PAGE, FIGURES, PLOTS = "accuracy.md", "accuracy.json", "accuracy"


def publish(report: Report, folder: Path) -> Path:
    """Write page, figures and plots to a folder; the page's path. Raises Fatal if it cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        plots = {
            summary.benchmark.name: [
                path.relative_to(folder) for path in draw_plots(summary, folder / PLOTS)
            ]
            for summary in report.summaries
        }
        page = folder / PAGE
        page.write_text(markdown(report, plots), encoding="utf-8")
        text = json.dumps(_figures(report), indent=1, ensure_ascii=False)
        (folder / FIGURES).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise Fatal(
            f"{folder}: the report cannot be written ({error.strerror}); the cells are kept, the "
            "same command with another --docs writes it from them"
        ) from error
    return page


def _figures(report: Report) -> dict[str, Any]:
    return {
        "command": report.command,
        "protocols": {summary.benchmark.name: _protocol(summary) for summary in report.summaries},
        "cells": msgspec.to_builtins(report.outcomes),
    }


def _protocol(summary: ProtocolSummary) -> dict[str, Any]:
    benchmark = summary.benchmark
    return {
        "title": benchmark.title,
        "known": {known.model: dict(known.scores) for known in benchmark.known},
        "aims": dict(benchmark.aims),
        "lead_aims": dict(benchmark.lead_aims),
        "best_control": {
            measure: msgspec.to_builtins(summary.best_control(measure))
            for measure in benchmark.measures
        },
        "models": {each.model: _model(each) for each in summary.models},
    }


def _model(each: ModelSummary) -> dict[str, Any]:
    return {
        "scores": {measure: _estimate(found) for measure, found in each.scores.items()},
        "training_seconds": each.training_seconds,
        "events_per_second": each.events_per_second,
        "bytes_per_user": each.bytes_per_user,
        "devices": list(each.devices),
        "parts": each.parts,
        "adaptation_score": _estimate(each.adaptation_score) if each.adaptation_score else None,
    }


def _estimate(found: Estimate) -> dict[str, Any]:
    return {"mean": found.mean, "half_width": found.half_width, "seeds": found.count}
