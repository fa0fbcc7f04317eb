"""Results on disk: written whole or not at all, and read back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from metarec_stream.benchmark.store import ResultStore
from metarec_stream.errors import Fatal
from tests.benchmark.stub import finding, job_of, outcome_of


def test_an_outcome_is_read_back_as_it_was(tmp_path: Path) -> None:
    """Also where there was another one, and nothing else is left in the folder."""
    store = ResultStore(tmp_path / "results")
    job = job_of(tmp_path, "one", seed=3)
    assert store.read(job.cell) is None
    store.write(outcome_of(job, None, "it failed"))
    expected = outcome_of(job, finding(0.25, {"repeat": {"mrr": None, "scored": 0.0}}))
    store.write(expected)
    assert store.read(job.cell) == expected
    assert [path.name for path in store.path(job.cell).parent.iterdir()] == ["seed-3.json"]


def test_an_unfinished_file_is_no_result(tmp_path: Path) -> None:
    """What a killed writer leaves beside the result does not count."""
    store = ResultStore(tmp_path)
    job = job_of(tmp_path, "one")
    store.write(outcome_of(job, finding(0.25)))
    path = store.path(job.cell)
    path.rename(path.with_suffix(".unfinished"))
    assert store.read(job.cell) is None


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    """The message says which file, and what to do about it."""
    store = ResultStore(tmp_path)
    job = job_of(tmp_path, "one")
    store.write(outcome_of(job, finding(0.25)))
    store.path(job.cell).write_text('{"cell": 1}')
    with pytest.raises(Fatal, match=r"seed-0\.json.*delete it"):
        store.read(job.cell)


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    """A file stands where the folder is to be."""
    (tmp_path / "results").write_text("")
    with pytest.raises(Fatal, match="--results"):
        ResultStore(tmp_path / "results")
