"""Curves: TensorBoard's files hold what happened, Weights & Biases works without a network."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.start import built_in_version
from metarec_stream.learner.tracking import describe, tracking_of
from metarec_stream.state_folders import folder_of
from tests.learner.planted import planted_block, quick_settings


def tracked(folder: Path, **changes: object) -> Settings:
    """Settings whose curves go to a folder."""
    settings = quick_settings(runs=str(folder), **changes)
    return settings.model_copy(update={"application": "shop"})


def test_tensorboard_has_a_point_for_each_block_and_decision(tmp_path: Path) -> None:
    """Losses fall, versions grow, decays and time scales have a curve each."""
    settings = tracked(tmp_path)
    tracking = tracking_of(settings, 0)
    one = Learner(settings, built_in_version(settings), tracking=tracking)
    versions = 0
    for number in range(40):
        one.take(planted_block(number))
        versions += one.decide(number) is not None
    tracking.close()
    curves = EventAccumulator(str(tmp_path / "shop"))
    curves.Reload()
    loss = curves.Scalars("loss/candidate")
    assert [point.step for point in loss] == [64 * number for number in range(1, 41)]
    assert loss[-1].value < loss[0].value
    assert loss[-1].value == pytest.approx(one._loss)
    assert curves.Scalars("version")[-1].value == versions
    assert max(point.value for point in curves.Scalars("gate/margin")) > 0
    assert all(point.value > 0 for point in curves.Scalars("seconds/step"))
    named = {
        "loss/anchor",
        "loss/average",
        "gate/standard_error",
        "drift/recent_loss",
        "drift/found",
    }
    decays = {
        f"parameters/{name}/{at}" for name in ("step_decay", "log_time_scale") for at in (0, 1)
    }
    assert named | decays | {"parameters/theta"} <= set(curves.Tags()["scalars"])


def test_a_restart_draws_on(tmp_path: Path) -> None:
    """What an earlier process drew after the checkpoint is hidden, what it drew before stays.

    Also where it began in this very second, and by its name would be read last.
    """
    settings = tracked(tmp_path)
    for first, events in ((1.0, (64, 128, 192)), (2.0, (128, 256))):
        tracking = tracking_of(settings, events[0] if first > 1 else 0)
        for at in events:
            tracking.scalars(at, {"loss/anchor": first})
        tracking.close()
        if first == 1:
            (file,) = (tmp_path / "shop").iterdir()
            file.rename(file.with_name(f"events.out.tfevents.{int(time.time()):010d}.~"))
    curves = EventAccumulator(str(tmp_path / "shop"))
    curves.Reload()
    points = [(point.step, point.value) for point in curves.Scalars("loss/anchor")]
    assert points == [(64, 1.0), (128, 2.0), (256, 2.0)]


def test_small_parameters_are_described_whatever_their_names() -> None:
    """The root mean square of each; each number of those that are few."""
    found = describe({"steps": torch.tensor([3.0, 4.0]), "wide": torch.full((3, 3), 2.0)})
    assert found == {
        "parameters/steps": pytest.approx(12.5**0.5),
        "parameters/steps/0": 3.0,
        "parameters/steps/1": 4.0,
        "parameters/wide": 2.0,
    }


def test_folders_are_the_applications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the one that is set, else among the user's state files."""
    assert folder_of(str(tmp_path), "runs", "shop") == tmp_path / "shop"
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert folder_of(None, "runs", "shop") == Path("/state/metarec-stream/runs/shop")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    expected = Path("/home/ann/.local/state/metarec-stream/runs/shop")
    assert folder_of(None, "runs", "shop") == expected


def test_a_folder_that_cannot_be_written_is_fatal(tmp_path: Path) -> None:
    """It names the setting."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Fatal, match="METAREC_LEARN__RUNS"):
        tracking_of(tracked(tmp_path / "file"), 0)


def test_wandb_works_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of the project lands in the folder, without a key; no connection leaves the machine."""
    pytest.importorskip("wandb", reason="needs the extra wandb")
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    tracking = tracking_of(tracked(tmp_path, wandb="offline", wandb_project="curves"), 0)
    for events in (64, 128):
        tracking.scalars(events, {"loss/anchor": 1 / events, "gate/margin": 0.5})
    tracking.close()
    (file,) = (tmp_path / "shop" / "wandb").glob("offline-run-*/run-*.wandb")
    content = file.read_bytes()
    for written in (b"loss/anchor", b"gate/margin", b"curves", b"table_rate"):
        assert written in content
    assert list((tmp_path / "shop").glob("events.out.tfevents.*")), "TensorBoard always"


def test_wandb_that_is_not_installed_is_fatal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the extra and the setting."""
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(Fatal, match=r"metarec-stream\[wandb\].*METAREC_LEARN__WANDB"):
        tracking_of(tracked(tmp_path, wandb="online"), 0)
