"""One cell for real: the figures are those of `evaluate`, and the process is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from metarec_stream.benchmark.cells import Finding
from metarec_stream.benchmark.plan import Plan, jobs_of
from metarec_stream.benchmark.summary import summarise
from metarec_stream.benchmark.worker import main, run
from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.models import Evaluation, evaluate_models
from metarec_stream.evaluate.protocols.adaptation import adaptation_score
from metarec_stream.pipeline.settings import EventsSettings
from tests.benchmark.planted import CHANGING, PLANTED, changing_trial, trial, write_planted
from tests.benchmark.stub import outcome_of


def test_a_cell_scores_as_evaluate_does(tmp_path: Path) -> None:
    """The same table, protocol and seed; repeats and novel events apart."""
    write_planted(tmp_path)
    settings = Settings(seed=3)
    (job,) = jobs_of(Plan([PLANTED], ["markov"], 1, settings, tmp_path, 64))
    told, answered = tmp_path / "job", tmp_path / "finding"
    told.write_bytes(msgspec.json.encode(job))
    main(told, answered)
    found = msgspec.json.decode(answered.read_bytes(), type=Finding)
    prepared = trial(tmp_path, 3)
    evaluation = Evaluation(prepared.table, prepared.protocol, settings, 64)
    result: Any = evaluate_models(evaluation, ["markov"], lambda _model, _done: None)
    markov = result["models"]["markov"]
    assert found.scores == {name: markov[name] for name in ("mrr", "hr@10")}
    for part in ("repeat", "novel"):
        assert found.parts[part] == markov["slices"][part]
    assert (found.events, found.scored, found.users, found.items) == (400, 200, 20, 60)
    assert sum(point.events for point in found.learning) == 200
    assert found.cost.events_per_second == pytest.approx(400 / found.cost.training_seconds)
    assert found.cost.peak_bytes is not None
    assert found.cost.device.startswith("CPU")


def test_adaptation_is_told_from_the_change_on(tmp_path: Path) -> None:
    """The score of a cell is the one that the protocol makes of an evaluation's report."""
    settings = Settings(seed=3)
    models = ["markov", "popularity"]
    jobs = jobs_of(Plan([CHANGING], models, 1, settings, tmp_path, 64))
    outcomes = [outcome_of(job, run(job, settings)) for job in jobs]
    markov = summarise(CHANGING, models, outcomes).models[0]
    prepared = changing_trial(tmp_path, 3)
    evaluation = Evaluation(
        prepared.table, prepared.protocol, settings, 64, questions=prepared.questions
    )
    result: Any = evaluate_models(evaluation, models, lambda _model, _done: None)
    reports = [result["models"][model] for model in models]
    assert markov.adaptation_score is not None
    assert markov.adaptation_score.mean == pytest.approx(adaptation_score(*reports))
    assert markov.adaptation[3].value == reports[0]["slices"]["after 4"]["hr@10"]
    assert markov.scores["hr@10 after 1-4"].mean == reports[0]["slices"]["after 1-4"]["hr@10"]


def test_data_that_is_too_short_is_said(tmp_path: Path) -> None:
    """Nothing to score: an error, and not a zero."""
    write_planted(tmp_path)
    settings = Settings(events=EventsSettings(weights={"click": 0.0}))
    (job,) = jobs_of(Plan([PLANTED], ["popularity"], 1, settings, tmp_path, 64))
    with pytest.raises(Fatal, match="no event is scored"):
        run(job, settings)
