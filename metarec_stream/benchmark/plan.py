"""From what was asked for to the jobs: every protocol, model and seed, with its origin."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarec_stream import __version__
from metarec_stream.benchmark.cells import Cell, Origin
from metarec_stream.benchmark.protocols import Benchmark
from metarec_stream.benchmark.runner import Job
from metarec_stream.benchmark.sources import code_digest, file_digest
from metarec_stream.config import Settings
from metarec_stream.evaluate.models import CONTROLS
from metarec_stream.settings_options import Option, options

_MEASURING = ("metarec_stream.benchmark.measurement", "metarec_stream.benchmark.memory")
_RUN_CONTROL = "metarec_stream.evaluate.controls.together"
_REPLAY = "metarec_stream.evaluate.prequential"
_READ_BY_CONTROLS = frozenset({"guard", "events"})
_NOT_SHOWN = frozenset({"application", "instance_id", "kafka", "topics", "http", "log", "data"})
_READ_BY_NO_MODEL = _NOT_SHOWN | {"seed"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for."""

    benchmarks: Sequence[Benchmark]
    models: Sequence[str]
    seeds: int
    settings: Settings
    data_dir: Path | None
    outer_every: int


def jobs_of(plan: Plan) -> list[Job]:
    """All cells, the first seed of everything before the second."""
    return [
        _job(plan, benchmark, model, seed)
        for seed in range(plan.seeds)
        for benchmark in plan.benchmarks
        for model in plan.models
    ]


def settings_read_by(model: str, settings: Settings) -> dict[str, Any]:
    """The sections of settings that can change a model's figures.

    The seed is no part of it: a cell names its own.
    """
    effective = settings.model_dump(mode="json")
    if model in CONTROLS:
        return {name: effective[name] for name in effective if name in _READ_BY_CONTROLS}
    return {name: effective[name] for name in effective if name not in _READ_BY_NO_MODEL}


def _job(plan: Plan, benchmark: Benchmark, model: str, seed: int) -> Job:
    origin = Origin(
        release=__version__,
        settings=settings_read_by(model, plan.settings),
        outer_every=None if model in CONTROLS else plan.outer_every,
        code=code_digest([*_modules_of(model), benchmark.trial.partition(":")[0], *_MEASURING]),
        data={file.name: file_digest(plan.data_dir / file.name) for file in benchmark.files}
        if plan.data_dir
        else {},
    )
    return Job(
        cell=Cell(benchmark.name, model, plan.settings.seed + seed),
        origin=origin,
        trial=benchmark.trial,
        measures=benchmark.measures,
        data_dir=str(plan.data_dir or ""),
        settings=plan.settings.model_dump(mode="json"),
        outer_every=plan.outer_every,
    )


def _modules_of(model: str) -> list[str]:
    if model not in CONTROLS:
        return [_REPLAY]
    control = CONTROLS[model]
    # An object that is called has no module of its own, but its class has one.
    return [_RUN_CONTROL, str(getattr(control, "__module__", type(control).__module__))]


def asked_command(plan: Plan) -> str:
    """The command line of a plan, settings that differ from their defaults included.

    Folders of the machine are named by what they hold.
    """
    words = [
        "metarec bench accuracy --data-dir DATA --results RESULTS",
        f"--protocols {','.join(benchmark.name for benchmark in plan.benchmarks)}",
        f"--models {','.join(plan.models)}",
        f"--seeds {plan.seeds} --outer-every {plan.outer_every}",
    ]
    for option in options():
        value, default = (_value(each, option) for each in (plan.settings, Settings()))
        if value != default and option.path[0] not in _NOT_SHOWN:
            words.append(f"{option.flag} {shlex.quote(_text(value))}")
    return " ".join(words)


def _value(settings: Settings, option: Option) -> object:
    value: object = settings
    for name in option.path:
        value = getattr(value, name)
    return value


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
