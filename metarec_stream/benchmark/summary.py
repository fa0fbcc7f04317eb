"""What the cells say together: means over seeds, the best control, and how the default compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from metarec_stream.benchmark.cells import Finding, Outcome, Point
from metarec_stream.benchmark.protocols import Benchmark
from metarec_stream.benchmark.statistics import Estimate, estimate
from metarec_stream.evaluate.models import DEFAULT
from metarec_stream.evaluate.protocols.adaptation import LAST_EVENT, adaptation_score

_REFERENCE = "popularity"
"""The model that adaptation is measured against."""


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A model under a protocol, over its finished seeds."""

    model: str
    scores: dict[str, Estimate]
    training_seconds: float
    events_per_second: float
    bytes_per_user: float | None
    devices: tuple[str, ...]
    parts: dict[str, dict[str, float]]
    """Means over the seeds, by part and measure."""
    learning: tuple[Point, ...]
    adaptation: tuple[Point, ...]
    adaptation_score: Estimate | None
    """Where the protocol has one, and popularity has run too."""

    @property
    def is_control(self) -> bool:
        """Whether it is neither the default nor the default without something."""
        return self.model.partition("-")[0] != DEFAULT


@dataclass(frozen=True, slots=True)
class BestControl:
    """The control of largest mean, and how many times that the default reaches."""

    model: str
    mean: float
    ratio: float | None
    """None if the default has not run, or the control's mean is 0."""


@dataclass(frozen=True, slots=True)
class ProtocolSummary:
    """A protocol, its models in the order they were asked for, and what failed."""

    benchmark: Benchmark
    models: tuple[ModelSummary, ...]
    failed: tuple[Outcome, ...]

    def of(self, model: str) -> ModelSummary | None:
        """A model's summary, if any of its seeds finished."""
        return next((each for each in self.models if each.model == model), None)

    def best_control(self, measure: str) -> BestControl | None:
        """By the mean of a measure; None if no control finished."""
        controls = [each for each in self.models if each.is_control]
        if not controls:
            return None
        best = max(controls, key=lambda each: each.scores[measure].mean)
        mean = best.scores[measure].mean
        default = self.of(DEFAULT)
        ratio = default.scores[measure].mean / mean if default and mean else None
        return BestControl(best.model, mean, ratio)


def summarise(
    benchmark: Benchmark, models: Sequence[str], outcomes: Sequence[Outcome]
) -> ProtocolSummary:
    """Put a protocol's outcomes together; a model without a finished seed is left out."""
    findings: dict[str, dict[int, Finding]] = {model: {} for model in models}
    for outcome in outcomes:
        if outcome.finding is not None:
            findings[outcome.cell.model][outcome.cell.seed] = outcome.finding
    reference = findings.get(_REFERENCE, {})
    summaries = [
        _summary(benchmark, model, found, reference) for model, found in findings.items() if found
    ]
    failed = [outcome for outcome in outcomes if outcome.finding is None]
    return ProtocolSummary(benchmark, tuple(summaries), tuple(failed))


def _summary(
    benchmark: Benchmark,
    model: str,
    by_seed: Mapping[int, Finding],
    reference: Mapping[int, Finding],
) -> ModelSummary:
    findings = list(by_seed.values())
    costs = [finding.cost for finding in findings]
    memory = [cost.bytes_per_user for cost in costs if cost.bytes_per_user is not None]
    return ModelSummary(
        model=model,
        scores={
            measure: estimate([finding.scores[measure] for finding in findings])
            for measure in benchmark.measures
        },
        training_seconds=fmean(cost.training_seconds for cost in costs),
        events_per_second=fmean(cost.events_per_second for cost in costs),
        bytes_per_user=fmean(memory) if memory else None,
        devices=tuple(sorted({cost.device for cost in costs})),
        parts=_mean_parts(findings),
        learning=_mean_curve([finding.learning for finding in findings]),
        adaptation=_mean_curve([finding.adaptation for finding in findings]),
        adaptation_score=_adaptation_score(by_seed, reference),
    )


def _adaptation_score(
    by_seed: Mapping[int, Finding], reference: Mapping[int, Finding]
) -> Estimate | None:
    """Of the seeds that both have, each against popularity on the same users."""
    scores = [
        adaptation_score({"slices": by_seed[seed].parts}, {"slices": reference[seed].parts})
        for seed in by_seed.keys() & reference.keys()
        if _tells_adaptation(by_seed[seed]) and _tells_adaptation(reference[seed])
    ]
    return estimate(scores) if scores else None


def _tells_adaptation(finding: Finding) -> bool:
    named = [f"after {events}" for events in range(LAST_EVENT + 1)]
    return all(finding.parts.get(name, {}).get("scored") for name in named)


def _mean_parts(findings: Sequence[Finding]) -> dict[str, dict[str, float]]:
    """Of each part, the means of the measures that it has in some seed."""
    names = dict.fromkeys(name for finding in findings for name in finding.parts)
    return {
        name: _mean_measures([finding.parts.get(name, {}) for finding in findings])
        for name in names
    }


def _mean_measures(found: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in found for name in each)
    known = {
        name: [value for each in found if (value := each.get(name)) is not None] for name in names
    }
    return {name: fmean(values) for name, values in known.items() if values}


def _mean_curve(curves: Sequence[Sequence[Point]]) -> tuple[Point, ...]:
    """The mean of each place over the seeds that have it."""
    places = sorted({point.at for curve in curves for point in curve})
    mean = []
    for place in places:
        points = [point for curve in curves for point in curve if point.at == place]
        events = round(fmean(point.events for point in points))
        mean.append(Point(place, fmean(point.value for point in points), events))
    return tuple(mean)
