"""The report for people: `accuracy.md`, from the summaries of the protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metarec_stream.benchmark.cells import Outcome
from metarec_stream.benchmark.measurement import CURVE_MEASURE, HISTORIES
from metarec_stream.benchmark.protocols import DEFAULT_CHOSEN_ON, Benchmark, shown
from metarec_stream.benchmark.statistics import Estimate
from metarec_stream.benchmark.summary import ModelSummary, ProtocolSummary
from metarec_stream.evaluate.models import DEFAULT

_PREAMBLE = """\
# Accuracy

Written by

```sh
{command}
```

from cells (a protocol, a model, a seed) that were made by {commits}. The cells themselves are in
[accuracy.json](accuracy.json). A run that was interrupted goes on where it was; a cell runs again
when its settings, its data, the code that it runs or the release has changed. How each protocol is
scored is in [protocols.md](protocols.md).

How to read the tables:

- Every event is ranked before it is learned. ± is the half-width of the 95 % t-interval of the
  mean over seeds; without it there is one seed.
- The seconds are those of the whole pass over the stream: the choice of a control's settings,
  learning, and ranking what is scored. One cell runs at a time.
- Bytes per user: the growth of the process's memory from the loaded stream to its peak, divided by
  the stream's users. It is measured in the same way for every model, so it counts all that a run
  takes: the parts of a model that users share, the logged tasks of the learner, and the ranked
  events that are kept for scoring. A further user costs less. Below some kilobytes it says little,
  for a process takes memory in larger pieces. Memory of a GPU is not in it.
"""
_SETTINGS = f"""\
## Settings

No setting is tuned on a scored segment within a run. A control chooses its settings anew in every
run, by MRR on rows before the scored ones, under the same protocol; each section says which. The
ranges of the controls' grids were set with scored figures in view, which can only favour them.
The default has one setting for all protocols, that of the release.
{DEFAULT_CHOSEN_ON}
"""
_ADAPTATION = f"""\
{CURVE_MEASURE.upper()} by how many events came before, of the user or since the change. Where the
protocol is one of adaptation the columns are exact, and the score is the area between the curve and
popularity's over 16 events; elsewhere a column goes up to the next, and there is no score:"""


@dataclass(frozen=True, slots=True)
class Absent:
    """A protocol that was skipped, for its data is not there."""

    benchmark: Benchmark
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What is reported."""

    command: str
    summaries: Sequence[ProtocolSummary]
    absent: Sequence[Absent]
    outcomes: Sequence[Outcome]


def markdown(report: Report, plots: Mapping[str, Sequence[Path]]) -> str:
    """The whole page; `plots`: by protocol, paths relative to the page."""
    preamble = _PREAMBLE.format(
        command=report.command,
        commits=_commits(report.outcomes),
    )
    overview = [_overview(report.summaries)] if report.summaries else []
    sections = [
        _section(summary, plots.get(summary.benchmark.name, ())) for summary in report.summaries
    ]
    parts = [preamble, _SETTINGS, *overview, *sections, *_skipped(report.absent)]
    return "\n".join([*parts, _data(report)])


def _commits(outcomes: Sequence[Outcome]) -> str:
    counts: dict[str, int] = {}
    for outcome in outcomes:
        source = f"commit {outcome.commit}" if outcome.commit else "code without a commit"
        counts[source] = counts.get(source, 0) + 1
    if len(counts) == 1:
        return next(iter(counts))
    return " and ".join(f"{source} ({count})" for source, count in sorted(counts.items()))


def _overview(summaries: Sequence[ProtocolSummary]) -> str:
    rows = [
        _row(summary.benchmark.title, shown(measure), *_compared(summary, measure))
        for summary in summaries
        for measure in summary.benchmark.measures
    ]
    header = ("protocol", "measure", DEFAULT, "best control", f"{DEFAULT} / best", "aim", "reached")
    return "\n".join(["## Overview", "", *_header(header), *rows, ""])


def _compared(summary: ProtocolSummary, measure: str) -> tuple[str, ...]:
    default, best = summary.of(DEFAULT), summary.best_control(measure)
    ratio = best.ratio if best else None
    aim, lead = summary.benchmark.aims.get(measure), summary.benchmark.lead_aims.get(measure)
    return (
        _estimate(default.scores[measure]) if default else "not run",
        f"{best.mean:.4f} {best.model}" if best else "not run",
        "" if ratio is None else f"{ratio:.2f}",
        _aim(aim, lead),
        _reached(aim, default.scores[measure].mean if default else None) or _reached(lead, ratio),
    )


def _aim(aim: float | None, lead: float | None) -> str:
    if lead is not None:
        return f"≥ {lead:g} × the best control"
    return "" if aim is None else f"≥ {aim:g}"


def _reached(aim: float | None, found: float | None) -> str:
    if aim is None or found is None:
        return ""
    return "yes" if found >= aim else "no"


def _section(summary: ProtocolSummary, plots: Sequence[Path]) -> str:
    benchmark = summary.benchmark
    parts = [
        f"## {benchmark.title}",
        "",
        f"`--protocols {benchmark.name}`. {benchmark.text}",
        "",
        f"Controls choose their settings on {benchmark.controls_choose_on}",
        "",
        *_models(summary),
        *_references(benchmark),
        *_repeats(summary),
        *_adaptation(summary),
        *_failures(summary),
    ]
    parts += [f"![{path.stem.replace('-', ' ')}]({path.as_posix()})\n" for path in plots]
    return "\n".join(parts)


def _models(summary: ProtocolSummary) -> list[str]:
    if not summary.models:
        return ["No model has finished.", ""]
    measures = summary.benchmark.measures
    share = f"{shown(measures[0])} / {DEFAULT}'s"
    costs = ("training s", "events/s", "bytes per user", "device", "seeds")
    rows = [_model_row(each, summary) for each in summary.models]
    return [*_header(("model", *map(shown, measures), share, *costs)), *rows, ""]


def _model_row(each: ModelSummary, summary: ProtocolSummary) -> str:
    measures = summary.benchmark.measures
    memory = "not known" if each.bytes_per_user is None else f"{each.bytes_per_user:,.0f}"
    return _row(
        each.model if each.is_control else f"**{each.model}**",
        *(_estimate(each.scores[measure]) for measure in measures),
        _share_of_default(each, summary),
        f"{each.training_seconds:,.1f}",
        f"{each.events_per_second:,.0f}",
        memory,
        ", ".join(each.devices),
        str(each.scores[measures[0]].count),
    )


def _share_of_default(each: ModelSummary, summary: ProtocolSummary) -> str:
    default, main = summary.of(DEFAULT), summary.benchmark.measures[0]
    if default is None or not default.scores[main].mean:
        return ""
    return f"{each.scores[main].mean / default.scores[main].mean:.3f}"


def _references(benchmark: Benchmark) -> list[str]:
    rows = [
        _row(known.model, *(_figure(known.scores.get(name)) for name in benchmark.measures))
        for known in benchmark.known
    ]
    aims = [
        _aim(benchmark.aims.get(name), benchmark.lead_aims.get(name)) for name in benchmark.measures
    ]
    if any(aims):
        rows.append(_row("aim", *aims))
    if not rows:
        return []
    return [
        "Known under this protocol:",
        "",
        *_header(("", *map(shown, benchmark.measures))),
        *rows,
        "",
    ]


def _repeats(summary: ProtocolSummary) -> list[str]:
    """Repeat and novel events apart, where the protocol scores both."""
    main = summary.benchmark.measures[0].partition(" ")[0]
    rows = []
    for each in summary.models:
        repeat, novel = (each.parts.get(name, {}).get(main) for name in ("repeat", "novel"))
        if repeat is not None and novel is not None:
            rows.append(_row(each.model, _figure(repeat), _figure(novel)))
    if not rows:
        return []
    header = ("model", f"{shown(main)} of repeats", f"{shown(main)} of novel events")
    return ["Repeat and novel events apart:", "", *_header(header), *rows, ""]


def _adaptation(summary: ProtocolSummary) -> list[str]:
    if not any(each.adaptation for each in summary.models):
        return []
    rows = []
    for each in summary.models:
        values = {point.at: point.value for point in each.adaptation}
        cells = [_figure(values.get(float(place))) for place in HISTORIES]
        score = _estimate(each.adaptation_score) if each.adaptation_score else "none"
        rows.append(_row(each.model, *cells, score))
    header = ("model", *(str(place) for place in HISTORIES), "adaptation score")
    return [_ADAPTATION, "", *_header(header), *rows, ""]


def _failures(summary: ProtocolSummary) -> list[str]:
    lines = [
        f"- {outcome.cell.model}, seed {outcome.cell.seed}: {' '.join(_said(outcome).split())}"
        for outcome in summary.failed
    ]
    return ["Failed:", "", *lines, ""] if lines else []


def _said(outcome: Outcome) -> str:
    lines = (outcome.error or "").splitlines()
    return lines[-1] if lines else "without a message"


def _skipped(absent: Sequence[Absent]) -> list[str]:
    if not absent:
        return []
    lines = [f"- {each.benchmark.title}: {', '.join(each.files)} is absent" for each in absent]
    return ["\n".join(["## Skipped", "", *lines, ""])]


def _data(report: Report) -> str:
    benchmarks = [each.benchmark for each in report.summaries]
    benchmarks += [each.benchmark for each in report.absent]
    files = {file.name: file for benchmark in benchmarks for file in benchmark.files}
    rows = [_row(file.name, file.columns, file.source) for file in files.values()]
    if not rows:
        return ""
    text = "Files of the folder that `--data-dir` or the setting `data.dir` names:"
    return "\n".join(["## Data", "", text, "", *_header(("file", "columns", "from")), *rows, ""])


def _estimate(found: Estimate) -> str:
    spread = "" if found.half_width is None else f" ± {found.half_width:.4f}"
    return f"{found.mean:.4f}{spread}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _header(names: Sequence[str]) -> list[str]:
    return [_row(*names), "|" + "---|" * len(names)]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
