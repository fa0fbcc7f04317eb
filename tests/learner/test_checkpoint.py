"""Checkpoints on disk: whole or not there, and nobody else's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from metarec_stream.clock import ManualClock
from metarec_stream.errors import Degraded, Fatal
from metarec_stream.learner.checkpoint import CheckpointFolder, Checkpoints, decode, encode
from metarec_stream.learner.snapshot import Progress, Snapshot
from metarec_stream.metrics import LearnerMetrics

OF = {"topic tasks": "a1", "features": "popularity"}


def snapshot(events: int = 0) -> Snapshot:
    """One of arrays that are not trivial."""
    progress = Progress(
        version=3,
        created_ms=7,
        newest=4,
        items=["ä", "b"],
        learned={0: 5},
        taken={0: 9},
        waiting=[(0, 9)],
        events=events,
        random_state="{}",
    )
    arrays: dict[str, NDArray[Any]] = {
        "anchor/value": np.arange(6, dtype=np.float32).reshape(2, 3),
        "buffer/features": np.full((1, 2, 2), 0.5, np.float16),
        "adam/theta/step": np.array(3.0, np.float32),
        "gate": np.zeros(0, np.float64),
    }
    return Snapshot(progress, arrays)


def test_what_is_written_is_read() -> None:
    """Numbers, names and arrays, empty ones and single numbers among them."""
    again = decode(b"".join(encode(snapshot(12), OF)), OF)
    assert again.progress == snapshot(12).progress
    for name, array in snapshot().arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
        assert again.arrays[name].dtype == array.dtype


def test_any_changed_or_missing_byte_is_refused() -> None:
    """Torn at every length, and with every byte changed in turn."""
    whole = b"".join(encode(snapshot(), OF))
    for at in range(len(whole)):
        with pytest.raises(Degraded):
            decode(whole[:at], OF)
        with pytest.raises(Degraded):
            decode(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], OF)
    with pytest.raises(Degraded, match="hash"):
        decode(whole + b"\0", OF)


def test_the_one_before_a_broken_one_is_used(tmp_path: Path) -> None:
    """Two are kept; with both broken there is none."""
    folder = CheckpointFolder(tmp_path, OF)
    assert folder.newest() is None
    for events in (1, 2, 3):
        assert folder.write(snapshot(events))
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["checkpoint-000000000002", "checkpoint-000000000003"]
    newest = folder.newest()
    assert newest is not None
    assert newest.progress.events == 3
    files[1].write_bytes(files[1].read_bytes()[:-7])
    before = CheckpointFolder(tmp_path, OF).newest()
    assert before is not None
    assert before.progress.events == 2
    files[0].write_bytes(b"")
    assert folder.newest() is None


def test_another_learners_is_refused(tmp_path: Path) -> None:
    """Topics that were made again, or other features: it names what is different."""
    CheckpointFolder(tmp_path, OF).write(snapshot())
    assert CheckpointFolder(tmp_path, {**OF, "topic tasks": "b2"}).newest() is None
    with pytest.raises(Degraded, match="belongs to another features, topic tasks"):
        decode(b"".join(encode(snapshot(), OF)), {"topic tasks": "b2"})


def test_a_process_that_dies_while_writing_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had begun is no checkpoint, and the next start clears it away."""
    folder = CheckpointFolder(tmp_path, OF)
    folder.write(snapshot(1))

    def dies(_descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", dies)
        with pytest.raises(KeyboardInterrupt):
            folder.write(snapshot(2))
    assert len(list(tmp_path.iterdir())) == 2
    again = CheckpointFolder(tmp_path, OF)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000000000001"]
    newest = again.newest()
    assert newest is not None
    assert newest.progress.events == 1


def test_a_full_disk_does_not_end_the_learner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing says that it failed, and the one before stays."""
    folder = CheckpointFolder(tmp_path, OF)
    folder.write(snapshot(1))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert not folder.write(snapshot(2))
    newest = folder.newest()
    assert newest is not None
    assert newest.progress.events == 1


def test_a_folder_that_cannot_be_is_fatal(tmp_path: Path) -> None:
    """It names the setting."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Fatal, match="METAREC_LEARN__CHECKPOINT"):
        CheckpointFolder(tmp_path / "file" / "below", OF)


def test_they_are_written_every_so_often(tmp_path: Path) -> None:
    """Not before it is time, and not at all without a folder; the metric says when."""
    clock, registry = ManualClock(), CollectorRegistry()
    metrics = LearnerMetrics(registry)
    clock.advance(60_000)
    checkpoints = Checkpoints(CheckpointFolder(tmp_path, OF), 5.0, metrics, clock)
    asked = []

    def ask() -> Snapshot:
        asked.append(clock.monotonic())
        return snapshot()

    for _ in range(12):
        clock.advance(1_000)
        checkpoints.write_if_due(ask)
    assert [round(at - asked[0]) for at in asked] == [0, 5]
    written = registry.get_sample_value("metarec_learner_checkpoint_timestamp_seconds")
    assert written == (clock.now_ms() - 2_000) / 1e3
    never = Checkpoints(None, 0.0, metrics, clock)
    never.write_if_due(ask)
    assert never.newest() is None
    assert len(asked) == 2
