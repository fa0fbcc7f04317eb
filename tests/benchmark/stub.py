"""Jobs for tests, a worker that only pretends, and a benchmark to be killed.

`python -m tests.benchmark.stub JOB FINDING` is the worker, `python -m tests.benchmark.stub RESULTS`
the benchmark.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from metarec_stream.benchmark.cells import Cell, Cost, Finding, Origin, Outcome, Point
from metarec_stream.benchmark.runner import Job, missing, run_jobs
from metarec_stream.benchmark.store import ResultStore

WORKER = (sys.executable, "-m", "tests.benchmark.stub")
RUNS = "runs"
"""In the data folder: a line for each cell that a worker began."""
HOLD = "hold"
"""In the data folder: while it is there, a worker that reads its own cell in it does not end."""
COST = Cost(
    training_seconds=2.0,
    events_per_second=50.0,
    bytes_per_user=1_024.0,
    peak_bytes=10**8,
    cpu_seconds=1.5,
    device="CPU (a test's)",
)


class Silent:
    """A watch that says nothing."""

    def started(self, job: Job) -> None: ...

    def waited(self) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...


def job_of(
    data_dir: Path, model: str, seed: int = 0, settings: dict[str, Any] | None = None
) -> Job:
    """A job of the protocol `tiny`."""
    origin = Origin("1.0", settings or {}, outer_every=None, code="a1", data={})
    cell = Cell("tiny", model, seed)
    return Job(cell, origin, "nowhere:nothing", ("mrr", "hr@10"), str(data_dir), {}, 64)


def finding(
    mrr: float,
    parts: dict[str, dict[str, float | None]] | None = None,
    scores: dict[str, float] | None = None,
) -> Finding:
    """What a run found, if it found this MRR."""
    return Finding(
        scores=scores or {"mrr": mrr, "hr@10": 2 * mrr},
        events=100,
        scored=50,
        users=10,
        items=20,
        cost=COST,
        parts=parts or {},
        learning=[Point(0.25, mrr, 25), Point(0.75, 2 * mrr, 25)],
        adaptation=[Point(0.0, mrr, 10), Point(1.0, 1.5 * mrr, 10)],
    )


def outcome_of(job: Job, found: Finding | None, error: str | None = None) -> Outcome:
    """A job's outcome, as the runner keeps it."""
    return Outcome(job.cell, job.origin, job.origin.digest(), "0123abc", 3.0, found, error)


def four_jobs(data_dir: Path) -> list[Job]:
    """Two models, two seeds."""
    return [job_of(data_dir, model, seed) for seed in (0, 1) for model in ("one", "two")]


def runs_in(data_dir: Path) -> list[str]:
    """The cells that workers began, in order."""
    file = data_dir / RUNS
    return file.read_text().splitlines() if file.is_file() else []


def work(job_file: Path, finding_file: Path) -> None:
    """Find something at once, but for the models `broken` and `killed`, and the cell on hold."""
    job = msgspec.json.decode(job_file.read_bytes(), type=Job)
    data_dir = Path(job.data_dir)
    with (data_dir / RUNS).open("a") as runs:
        runs.write(f"{job.cell}\n")
    hold = data_dir / HOLD
    while hold.is_file() and hold.read_text() == str(job.cell):
        time.sleep(0.01)
    if job.cell.model == "broken":
        raise SystemExit("a screw is loose")
    if job.cell.model == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    finding_file.write_bytes(msgspec.json.encode(finding(0.1 * (1 + job.cell.seed))))


def bench(results: Path) -> None:
    """Run what is missing of four jobs; their data folder is the one of the results."""
    store = ResultStore(results)
    run_jobs(missing(four_jobs(results), store, "rerun"), store, Silent(), WORKER)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        work(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        bench(Path(sys.argv[1]))
