"""Means over seeds, the best control and the adaptation score, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from metarec_stream.benchmark.cells import Outcome
from metarec_stream.benchmark.summary import BestControl, ProtocolSummary, summarise
from tests.benchmark.planted import PLANTED
from tests.benchmark.stub import finding, job_of, outcome_of

HERE = Path()
MODELS = ("default", "default-without-meta", "popularity", "markov")


def outcomes(**mrr_by_seed: list[float | None]) -> list[Outcome]:
    """An outcome a value, None failed; underscores of names stand for hyphens."""
    return [
        outcome_of(
            job_of(HERE, model.replace("_", "-"), seed),
            None if mrr is None else finding(mrr),
            "it failed" if mrr is None else None,
        )
        for model, values in mrr_by_seed.items()
        for seed, mrr in enumerate(values)
    ]


def summary_of(**mrr_by_seed: list[float | None]) -> ProtocolSummary:
    """Put them together, in the order of the models."""
    return summarise(PLANTED, MODELS, outcomes(**mrr_by_seed))


def test_scores_costs_and_curves_are_means_over_the_finished_seeds() -> None:
    """MRR .1 and .3, and a third seed that failed; HR@10 is twice the MRR in these findings."""
    found = summary_of(markov=[0.1, 0.3, None])
    (markov,) = found.models
    assert markov.scores["mrr"].mean == pytest.approx(0.2)
    assert markov.scores["mrr"].half_width == pytest.approx(12.706 * 0.1)
    assert markov.scores["hr@10"].mean == pytest.approx(0.4)
    assert markov.scores["mrr"].count == 2
    assert (markov.training_seconds, markov.events_per_second) == (2.0, 50.0)
    assert (markov.learning[1].at, markov.learning[1].events) == (0.75, 25)
    assert markov.learning[1].value == pytest.approx(0.4)
    assert [outcome.cell.seed for outcome in found.failed] == [2]


def test_the_best_control_is_the_one_of_the_largest_mean() -> None:
    """Neither the default nor what the default is without something is a control."""
    found = summary_of(
        default=[0.3, 0.3], default_without_meta=[0.4], popularity=[0.1, 0.3], markov=[0.25]
    )
    assert [each.model for each in found.models] == list(MODELS)
    best = found.best_control("mrr")
    assert best is not None
    assert (best.model, best.mean) == ("markov", 0.25)
    assert best.ratio == pytest.approx(1.2)
    alone = summary_of(popularity=[0.1])
    assert alone.best_control("mrr") == BestControl("popularity", 0.1, None)
    assert summary_of(default=[0.1]).best_control("mrr") is None


def test_the_adaptation_score_is_the_area_over_popularity_on_the_same_seed() -> None:
    """A curve that lies .2 higher in one seed and .4 in the other; trapezoids over 16 events."""
    made = []
    for model, levels in {"default": (0.3, 0.6), "popularity": (0.1, 0.2)}.items():
        for seed, level in enumerate(levels):
            parts: dict[str, dict[str, float | None]] = {
                f"after {events}": {"hr@10": level, "scored": 5.0} for events in range(17)
            }
            made.append(outcome_of(job_of(HERE, model, seed), finding(level, parts)))
    default, popularity = summarise(PLANTED, ("default", "popularity"), made).models
    assert default.adaptation_score is not None
    assert default.adaptation_score.mean == pytest.approx((0.2 + 0.4) / 2)
    assert default.parts["after 3"]["hr@10"] == pytest.approx(0.45)
    assert popularity.adaptation_score is not None
    assert popularity.adaptation_score.mean == 0.0


def test_a_protocol_without_adaptation_has_no_such_score() -> None:
    """No parts, or none that anybody reached."""
    (default, _) = summary_of(default=[0.1], popularity=[0.1]).models
    assert default.adaptation_score is None
    assert default.parts == {}
