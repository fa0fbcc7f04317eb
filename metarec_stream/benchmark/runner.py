"""Runs the cells that are missing, each in a process of its own, and keeps each outcome at once."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import structlog

from metarec_stream.benchmark.cells import Cell, Finding, Origin, Outcome
from metarec_stream.benchmark.sources import commit
from metarec_stream.benchmark.store import ResultStore
from metarec_stream.kafka.child import Child, start_child

WORKER = (sys.executable, "-m", "metarec_stream.benchmark.worker")
"""The program that runs a job: it is handed the file of the job and that of what it finds."""
_LOOK_EVERY_S = 0.5
_ERROR_LINES = 5

ChangedCode = Literal["rerun", "keep"]
"""Of cells that other code has made, all else being equal: run them again, or keep them."""

logger = structlog.get_logger()


class Job(msgspec.Struct, frozen=True):
    """What a worker process is told."""

    cell: Cell
    origin: Origin
    trial: str
    """The function that prepares the protocol, as `module:function`."""
    measures: tuple[str, ...]
    data_dir: str
    settings: dict[str, Any]
    outer_every: int


class Watch(Protocol):
    """Who is told how far the run is."""

    def started(self, job: Job) -> None:
        """A cell's process has started."""

    def waited(self) -> None:
        """It still runs."""

    def ended(self, outcome: Outcome) -> None:
        """The cell has its outcome, which is kept."""


def missing(jobs: Sequence[Job], store: ResultStore, changed_code: ChangedCode) -> list[Job]:
    """The jobs whose finding is not in the store: never run, failed, or made by something else."""
    return [job for job in jobs if not _is_kept(job, store, changed_code)]


def run_jobs(
    jobs: Sequence[Job], store: ResultStore, watch: Watch, worker: Sequence[str] = WORKER
) -> None:
    """Run one job after the other, so that their times can be compared; a failed one is kept too.

    Raises Fatal if an outcome cannot be written.
    """
    for job in jobs:
        watch.started(job)
        outcome = run_job(job, watch, worker)
        store.write(outcome)
        watch.ended(outcome)
        if outcome.error is not None:
            logger.error("cell_failed", cell=str(job.cell), reason=_in_short(outcome.error))


def run_job(job: Job, watch: Watch, worker: Sequence[str] = WORKER) -> Outcome:
    """Run a job in a process that ends with this one at the latest."""
    with tempfile.TemporaryDirectory(prefix="metarec-bench-") as name:
        folder = Path(name)
        told, found, said = folder / "job.json", folder / "finding.json", folder / "said"
        told.write_bytes(msgspec.json.encode(job))
        started = time.monotonic()
        child = start_child([*worker, str(told), str(found)], Path.cwd(), said)
        status = _wait(child, watch)
        finding = error = None
        if status == 0 and found.is_file():
            finding = msgspec.json.decode(found.read_bytes(), type=Finding)
        else:
            error = _error(status, said)
        seconds = time.monotonic() - started
    digest = job.origin.digest()
    return Outcome(job.cell, job.origin, digest, commit(), seconds, finding, error)


def _is_kept(job: Job, store: ResultStore, changed_code: ChangedCode) -> bool:
    kept = store.read(job.cell)
    if kept is None or kept.finding is None:
        return False
    changed = job.origin.differences(kept.origin)
    if not changed or (changed == ["code"] and changed_code == "keep"):
        return True
    logger.info("cell_runs_again", cell=str(job.cell), changed=", ".join(changed))
    return False


def _wait(child: Child, watch: Watch) -> int:
    """Its exit status; it is killed if this thread is interrupted."""
    try:
        while (status := child.wait(_LOOK_EVERY_S)) is None:
            watch.waited()
        return status
    finally:
        child.end(0.0)


def _in_short(error: str) -> str:
    first, *rest = error.splitlines()
    return f"{first}: {rest[-1]}" if rest else first


def _error(status: int, said: Path) -> str:
    ended = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    lines = [line for line in said.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join([f"its process {ended}", *lines[-_ERROR_LINES:]])
