"""One cell, in a process of its own: `python -m metarec_stream.benchmark.worker JOB FINDING`."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path

import msgspec
import numpy as np

from metarec_stream.benchmark.cells import Cost, Finding
from metarec_stream.benchmark.measurement import (
    adaptation_curve,
    device,
    learning_curve,
    measures_by_part,
    scores_of,
)
from metarec_stream.benchmark.memory import MemoryGrowth
from metarec_stream.benchmark.runner import Job
from metarec_stream.config import Settings
from metarec_stream.errors import MetarecError
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.metrics import RankedEvents, ranks
from metarec_stream.evaluate.models import Evaluation, run_model
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.protocols.trial import Trial
from metarec_stream.evaluate.stream import Stream, stream_of
from metarec_stream.log import configure_logging

_REHEARSED_EVENTS = 200


def main(job_file: Path, finding_file: Path) -> None:
    """Run the job of a file and write what it found to another; raises SystemExit if it cannot."""
    job = msgspec.json.decode(job_file.read_bytes(), type=Job)
    settings = Settings.model_validate(job.settings)
    configure_logging(settings.log)
    try:
        finding = run(job, settings)
    except MetarecError as error:
        raise SystemExit(" ".join(str(error).split())) from error
    finding_file.write_bytes(msgspec.json.encode(finding))


def run(job: Job, settings: Settings) -> Finding:
    """Prepare the trial, run the model, and measure both its ranking and itself.

    Raises Fatal for data that cannot be used, or of which no event is scored.
    """
    trial = _prepared(job)
    settings = settings.model_copy(update={"seed": job.cell.seed})
    stream = stream_of(trial.table, settings.events.table(), trial.questions)
    _rehearse(job, settings)
    ranked, cost = _measured_run(job, settings, trial, stream)
    scored = ranked.of(stream.scored(trial.protocol))
    rank = ranks(scored, trial.protocol.ties)
    repeat, earlier = stream.repeat[scored.rows], stream.earlier[scored.rows]
    own = {name: rows[scored.rows] for name, rows in stream.parts.items()}
    parts = {"repeat": repeat, "novel": ~repeat, **own}
    return Finding(
        scores=scores_of(rank, parts, job.measures),
        events=len(stream),
        scored=len(rank),
        users=len(stream.user_ids),
        items=len(stream.item_ids),
        cost=cost,
        parts=measures_by_part(rank, parts),
        learning=learning_curve(rank, scored.rows, len(stream)),
        adaptation=adaptation_curve(rank, earlier, own),
    )


def _prepared(job: Job) -> Trial:
    module, _, name = job.trial.partition(":")
    trial: Trial = getattr(import_module(module), name)(Path(job.data_dir), job.cell.seed)
    return trial


def _rehearse(job: Job, settings: Settings) -> None:
    """Run the model on a few events: libraries and machine code are loaded before memory counts."""
    numbers = range(_REHEARSED_EVENTS)
    table = EventTable(
        user=[f"user-{number % 20}" for number in numbers],
        item=[f"item-{number * number % 31}" for number in numbers],
        ts=np.arange(_REHEARSED_EVENTS) * 60_000,
    )
    stream = stream_of(table, settings.events.table())
    evaluation = Evaluation(table, Protocol(), settings, job.outer_every)
    run_model(job.cell.model, evaluation, stream, _unwatched)


def _measured_run(
    job: Job, settings: Settings, trial: Trial, stream: Stream
) -> tuple[RankedEvents, Cost]:
    evaluation = Evaluation(
        trial.table,
        trial.protocol,
        settings,
        job.outer_every,
        trial.questions,
        trial.beforehand,
    )
    memory = MemoryGrowth()
    before = time.process_time()
    ranked = run_model(job.cell.model, evaluation, stream, _unwatched)
    cpu_seconds = time.process_time() - before
    grown = memory.grown()
    cost = Cost(
        training_seconds=ranked.seconds,
        events_per_second=len(stream) / max(ranked.seconds, 1e-9),
        bytes_per_user=None if grown is None else grown / len(stream.user_ids),
        peak_bytes=memory.peak(),
        cpu_seconds=cpu_seconds,
        device=device(),
    )
    return ranked, cost


def _unwatched(_model: str, _done: int) -> None:
    """The parent shows how many cells are done; within one, nobody watches."""


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
