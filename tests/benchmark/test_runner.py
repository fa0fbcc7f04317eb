"""Cells in processes: what is kept, what runs again, and what a failure leaves."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from metarec_stream.benchmark.runner import Job, missing, run_jobs
from metarec_stream.benchmark.store import ResultStore
from tests.benchmark.stub import (
    HOLD,
    WORKER,
    Silent,
    finding,
    four_jobs,
    job_of,
    outcome_of,
    runs_in,
)


def run(jobs: list[Job], store: ResultStore) -> None:
    """Run what is missing of the jobs."""
    run_jobs(missing(jobs, store, "rerun"), store, Silent(), WORKER)


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed while the third of four cells runs: the third and fourth run, the others do not."""
    jobs = four_jobs(tmp_path)
    cells = [str(job.cell) for job in jobs]
    (tmp_path / HOLD).write_text(cells[2])
    killed = subprocess.Popen([sys.executable, "-m", "tests.benchmark.stub", str(tmp_path)])
    deadline = time.monotonic() + 60
    while len(runs_in(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    (tmp_path / HOLD).unlink()
    assert runs_in(tmp_path) == cells[:3]
    store = ResultStore(tmp_path)
    assert missing(jobs, store, "rerun") == jobs[2:]
    run(jobs, store)
    assert runs_in(tmp_path) == [*cells[:3], *cells[2:]]
    assert [store.read(job.cell) is not None for job in jobs] == [True] * 4


def test_a_cell_runs_again_if_what_produced_it_has_changed(tmp_path: Path) -> None:
    """A setting, the data, the release or the code of one cell: that cell alone is missing."""
    store = ResultStore(tmp_path)
    jobs = [job_of(tmp_path, "one", settings={"rank": {"k": 1}}), job_of(tmp_path, "two")]
    for job in jobs:
        store.write(outcome_of(job, finding(0.1)))
    assert missing(jobs, store, "rerun") == []
    for change in (
        {"settings": {"rank": {"k": 2}}},
        {"data": {"file": "f00"}},
        {"release": "1.1"},
        {"code": "b2"},
        {"outer_every": 7},
    ):
        origin = msgspec.structs.replace(jobs[0].origin, **change)
        changed = msgspec.structs.replace(jobs[0], origin=origin)
        assert missing([changed, jobs[1]], store, "rerun") == [changed], change


def test_cells_of_other_code_can_be_kept(tmp_path: Path) -> None:
    """With `keep` only the code may differ."""
    store = ResultStore(tmp_path)
    job = job_of(tmp_path, "one")
    store.write(outcome_of(job, finding(0.1)))
    other_code = msgspec.structs.replace(job.origin, code="b2")
    other_both = msgspec.structs.replace(other_code, release="1.1")
    for origin, expected in ((other_code, 0), (other_both, 1)):
        changed = msgspec.structs.replace(job, origin=origin)
        assert len(missing([changed], store, "keep")) == expected


@pytest.mark.parametrize(
    ("model", "said"),
    [("broken", ["status 1", "a screw is loose"]), ("killed", ["killed by signal 9"])],
)
def test_a_failing_cell_is_kept_with_its_message_and_the_rest_runs(
    tmp_path: Path, model: str, said: list[str]
) -> None:
    """The cell after it has a finding; the failed one is missing, so the next run tries again."""
    store = ResultStore(tmp_path)
    jobs = [job_of(tmp_path, model), job_of(tmp_path, "one")]
    run(jobs, store)
    failed, done = (store.read(job.cell) for job in jobs)
    assert failed is not None
    assert failed.finding is None
    assert all(part in (failed.error or "") for part in said)
    assert done is not None
    assert done.finding == finding(0.1)
    assert missing(jobs, store, "rerun") == jobs[:1]
