"""The fault matrix: as a table for a terminal, as a page, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from metarec_stream.chaos.outcome import Outcome
from metarec_stream.chaos.plan import Planned
from metarec_stream.errors import Fatal

PAGE, FIGURES = "fault-matrix.md", "fault-matrix.json"
HEADINGS = (
    "fault", "lost", "learned twice", "output duplicates", "flows again after, s",
    "pause of moved ones, s", "pause of the others, s", "outcome",
)  # fmt: skip


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A run, with all that is needed to do it again."""

    command: str
    seed: int
    device: str
    broker: str
    """Release of Apache Kafka."""
    settings: dict[str, Any]
    """Those that the figures depend on, by name."""
    plan: list[Planned]
    outcomes: list[Outcome]


def as_table(outcomes: Sequence[Outcome]) -> Table:
    """One row for each fault."""
    table = Table(title="fault matrix")
    for heading in HEADINGS:
        number = heading not in ("fault", "outcome")
        table.add_column(heading, justify="right" if number else "left")
    for outcome in outcomes:
        table.add_row(*cells(outcome))
    return table


def cells(outcome: Outcome) -> tuple[str, ...]:
    """A row of the matrix."""
    verdict = str(outcome.verdict)
    if not outcome.as_expected:
        verdict = f"{verdict}, expected {outcome.expected}"
    return (
        outcome.fault,
        _number(outcome.lost),
        _number(outcome.learned_twice),
        _number(outcome.output_duplicates),
        _number(outcome.timing.harmed_s),
        _number(outcome.timing.moved_s),
        _number(outcome.timing.others_s),
        verdict,
    )


def write(report: Report, folder: Path) -> Path:
    """Page and figures into a folder; the page's path. Raises Fatal if they cannot be written."""
    page = folder / PAGE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        page.write_text(markdown(report), "utf-8")
        text = json.dumps(msgspec.to_builtins(report), indent=1, ensure_ascii=False)
        (folder / FIGURES).write_text(text + "\n", "utf-8")
    except OSError as error:
        raise Fatal(
            f"{folder}: the fault matrix cannot be written ({error.strerror}): name another "
            "folder with --docs"
        ) from error
    return page


def markdown(report: Report) -> str:
    """The page."""
    settings = ", ".join(f"`{name}` {value}" for name, value in report.settings.items())
    events = sum(outcome.events for outcome in report.outcomes)
    made = (
        f"Seed {report.seed}; {report.device}; Apache Kafka {report.broker}; {settings}; "
        f"{events:,} records in all."
    )
    lines = [
        "# Fault matrix",
        "",
        "Written by the command below; [chaos.md](../chaos.md) says what the columns mean.",
        "",
        f"    {report.command}",
        "",
        made,
        "",
        _row(HEADINGS),
        _row(["---", *["---:"] * 6, "---"]),
        *(_row(cells(outcome)) for outcome in report.outcomes),
        "",
        "## What was done",
        "",
        *(f"- `{each.fault}`: {each.what}.{_told(each)}" for each in report.outcomes),
    ]
    return "\n".join(lines) + "\n"


def _told(outcome: Outcome) -> str:
    """What else there is to say of it."""
    parts = [f"{name} {count}" for name, count in outcome.warned.items()]
    told = [f"Consumers logged: {', '.join(parts)}."] if parts else []
    ended = [each for each in outcome.ended if not each.endswith((": -9", ": 0"))]
    if ended:
        told.append(f"Ended by themselves, and were started again: {', '.join(ended)}.")
    if outcome.note:
        told.append(f"{outcome.verdict}: {outcome.note}.")
    return "".join(f" {each}" for each in told)


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,}"
