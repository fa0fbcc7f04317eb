"""From what was asked for to the jobs, and back to the command."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from metarec_stream.benchmark.plan import Plan, asked_command, jobs_of
from metarec_stream.benchmark.runner import Job
from metarec_stream.config import Settings
from metarec_stream.evaluate.models import CONTROLS
from metarec_stream.settings_sources import load_settings, take_flags
from tests.benchmark.planted import FILE, PLANTED


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The default and a control, two seeds."""
    (tmp_path / FILE).write_text("user,item,time\n")
    return Plan([PLANTED], ["default", "markov"], 2, Settings(seed=5), tmp_path, 64)


def digests(plan: Plan) -> dict[str, str]:
    """Of the first seed, by model."""
    return {job.cell.model: job.origin.digest() for job in jobs_of(plan)[:2]}


def test_the_first_seed_of_everything_comes_first(plan: Plan) -> None:
    """So that an unfinished benchmark has something of every model."""
    jobs: list[Job] = jobs_of(plan)
    assert [(job.cell.model, job.cell.seed) for job in jobs] == [
        ("default", 5), ("markov", 5), ("default", 6), ("markov", 6),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({"learn": {"block": 100}}, {"default"}),
        ({"guard": {"lateness_s": 60}}, {"default", "markov"}),
        ({"http": {"port": 1}, "log": {"level": "debug"}, "data": {"dir": "elsewhere"}}, set()),
    ],
)
def test_a_setting_changes_the_cells_that_read_it(
    plan: Plan, settings: dict[str, dict[str, object]], changed: set[str]
) -> None:
    """A learner's setting is nothing to a control, and a port nothing to either."""
    before = digests(plan)
    after = digests(replace(plan, settings=Settings.model_validate({"seed": 5, **settings})))
    assert {model for model in before if before[model] != after[model]} == changed


def test_the_cadence_of_the_learner_changes_the_default_alone(plan: Plan) -> None:
    """A control has no learner."""
    before, after = digests(plan), digests(replace(plan, outer_every=32))
    assert (before["default"] == after["default"], before["markov"] == after["markov"]) == (
        False,
        True,
    )


def test_the_command_leads_back_to_the_same_settings(plan: Plan) -> None:
    """Those that are not at their default and matter; no folder of the machine is in it."""
    given = {"events": {"weights": {"view": 0.5}}, "learn": {"block": 100}, "seed": 5}
    asked = replace(plan, settings=Settings.model_validate({**given, "http": {"port": 1}}))
    command = asked_command(asked)
    assert str(plan.data_dir) not in command
    assert "--protocols planted --models default,markov --seeds 2 --outer-every 64" in command
    flags = take_flags(shlex.split(command)[3:])
    assert load_settings(flags, {}).settings == Settings.model_validate(given)


@pytest.mark.parametrize("model", sorted(CONTROLS))
def test_a_cell_follows_its_controls_own_code(model: str) -> None:
    """Also of one that is imported when it first runs."""
    module = CONTROLS[model].__module__
    assert module.rpartition(".")[2] == model.replace("-", "_")
