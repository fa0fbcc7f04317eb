"""Curves of the outer loop: TensorBoard always, Weights & Biases where it is set."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.state_folders import folder_of

_DRAWN_ALONE = 8
"""Small parameters of at most this many numbers get a curve for each: decays, time scales, step
sizes and gains of features are read one by one."""
_TRACKED = ("learn", "gate", "value_sum", "seed")


class Tracking(Protocol):
    """Takes numbers by name, and how many events were learned when they were measured."""

    def scalars(self, events: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""

    def close(self) -> None:
        """Write what is not written yet."""


class NoTracking:
    """Keeps nothing: what a learner has that is not a service."""

    def scalars(self, events: int, values: Mapping[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


NO_TRACKING = NoTracking()


class TensorBoard:
    """Event files in a folder. Points after `events` that an earlier process drew are hidden."""

    def __init__(self, folder: Path, events: int) -> None:
        _wait_to_be_newest(folder)
        self._writer = SummaryWriter(str(folder), purge_step=events, flush_secs=10)

    def scalars(self, events: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, events)

    def close(self) -> None:
        self._writer.close()


def _wait_to_be_newest(folder: Path) -> None:
    """TensorBoard reads files by their names, which begin with the second of their making.

    Of two files of one second it might take the older one for the newer. A clock that was set back
    is not waited for: then curves may be drawn in the wrong order.
    """
    if not any(folder.glob(f"events.out.tfevents.{int(time.time()):010d}.*")):
        return
    time.sleep(1 - time.time() % 1)


class WeightsAndBiases:
    """One run of a project for each process, grouped by application.

    Raises Fatal if the package is not installed or the run cannot begin.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        try:
            import wandb
        except ModuleNotFoundError as missing:
            raise Fatal(
                f"learn.wandb is {settings.learn.wandb} and the package wandb is not installed: "
                "install metarec-stream[wandb], or set METAREC_LEARN__WANDB=off"
            ) from missing
        self._teardown = wandb.teardown
        quiet = wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True
        )
        try:
            self._run = wandb.init(
                project=settings.learn.wandb_project,
                group=settings.application,
                mode="online" if settings.learn.wandb == "online" else "offline",
                dir=str(folder),
                config=_config(settings),
                settings=quiet,
            )
        except (wandb.Error, OSError) as error:
            raise Fatal(
                f"Weights & Biases could not begin a run ({error}): see that its servers can be "
                "reached and its key is set, or set METAREC_LEARN__WANDB=offline or off"
            ) from error

    def scalars(self, events: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=events)

    def close(self) -> None:
        self._run.finish()
        # An offline run is written by a process of wandb's, which is waited for only here.
        self._teardown()


class Several:
    """The same points to each."""

    def __init__(self, each: Sequence[Tracking]) -> None:
        self._each = each

    def scalars(self, events: int, values: Mapping[str, float]) -> None:
        for one in self._each:
            one.scalars(events, values)

    def close(self) -> None:
        for one in self._each:
            one.close()


def tracking_of(settings: Settings, events: int) -> Tracking:
    """What the settings ask for, going on after so many events learned.

    Raises Fatal if the folder cannot be written.
    """
    folder = folder_of(settings.learn.runs, "runs", settings.application)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        board = TensorBoard(folder, events)
    except OSError as error:
        raise Fatal(
            f"the folder of TensorBoard's curves cannot be written ({error}): set "
            "METAREC_LEARN__RUNS to one that can"
        ) from error
    if settings.learn.wandb == "off":
        return board
    return Several([board, WeightsAndBiases(settings, folder)])


@torch.no_grad()
def describe(small: Mapping[str, Tensor]) -> dict[str, float]:
    """The root mean square of each small parameter, and the numbers of those that are few."""
    values = {}
    for name, tensor in small.items():
        flat = tensor.detach().float().cpu().reshape(-1)
        values[f"parameters/{name}"] = float(flat.square().mean().sqrt())
        if len(flat) <= _DRAWN_ALONE:
            values |= {f"parameters/{name}/{at}": float(one) for at, one in enumerate(flat)}
    return values


def _config(settings: Settings) -> dict[str, Any]:
    """The settings that curves depend on; none of them is a secret."""
    return settings.model_dump(mode="json", include=set(_TRACKED))
