"""The processes of one learner: their device, their precision, and what passes between them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.single_device import SingleDeviceStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch import Tensor, distributed

from metarec_stream.errors import Fatal
from metarec_stream.learner.place import ALONE, Place
from metarec_stream.learner.settings import LearnSettings

_LONGEST_SILENCE = timedelta(minutes=10)
"""Longer than the leader ever waits for brokers: after it, a machine that went away is noticed.
A process that dies is noticed at once, by its connections."""

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


class Processes:
    """This process among the learner's: device and precision by Lightning Fabric.

    Numbers are summed over gloo on CPUs and over nccl on GPUs; orders always go over gloo. Joining
    waits for all. Also holds torch, in the whole process, to the number of threads that is set.
    Raises Fatal if the device asked for is not there, or another process has gone.
    """

    def __init__(self, settings: LearnSettings, place: Place = ALONE) -> None:
        torch.set_num_threads(settings.threads)
        self.place = place
        accelerator = _accelerator(settings, self.place.on_this_machine)
        self._fabric = Fabric(
            accelerator=accelerator,
            devices=self.place.on_this_machine,
            num_nodes=self.place.size // self.place.on_this_machine,
            precision="32-true" if settings.precision == "32" else "bf16-mixed",
            strategy=_strategy(accelerator, self.place),
        )
        if self.place.size > 1:
            with _naming_the_dead("joining"):
                self._fabric.launch()
        self.device = self._fabric.device

    def matrix_products(self) -> AbstractContextManager[None]:
        """Where the set precision holds: of matrix products, and of nothing else."""
        return self._fabric.autocast()

    def share(self, count: int) -> slice:
        """This process's part of so many events; the parts of all are the whole.

        They take turns, for the events differ in work: fresh ones come first, and after a drift
        only their windows are predicted.
        """
        return slice(self.place.rank, count, self.place.size)

    def summed(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each tensor summed over all processes, the same bits in all; alone, as it is."""
        if self.place.size == 1:
            return list(tensors)
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with _naming_the_dead("summing gradients"):
            distributed.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        return [part.view(like.shape) for part, like in zip(parts, tensors, strict=True)]

    def broadcast(self, message: bytes = b"") -> bytes:
        """The leader's message, in all processes."""
        size = torch.tensor([len(message)])
        with _naming_the_dead("passing an order on"):
            distributed.broadcast(size, 0)
            sent = torch.empty(int(size), dtype=torch.uint8)
            if self.place.rank == 0:
                sent = torch.frombuffer(bytearray(message), dtype=torch.uint8)
            distributed.broadcast(sent, 0)
        return message if self.place.rank == 0 else sent.numpy().tobytes()

    def any(self, here: bool) -> bool:
        """Whether it holds in any of the processes."""
        if self.place.size == 1:
            return here
        found = torch.tensor([int(here)])
        with _naming_the_dead("asking whether to stop"):
            distributed.all_reduce(found)
        return bool(found)

    def part(self) -> None:
        """Give the connections back; nothing can be passed after it."""
        if self.place.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


@contextmanager
def _naming_the_dead(doing: str) -> Iterator[None]:
    """What torch raises when a peer is not there becomes a Fatal that says so."""
    try:
        yield
    except RuntimeError as error:
        raise Fatal(
            f"{doing} failed: another process of this learner has ended or does not answer "
            f"({str(error).splitlines()[0]}); see its log, then start all again with torchrun, "
            "they go on from the newest checkpoint"
        ) from error


def _accelerator(settings: LearnSettings, on_this_machine: int) -> str:
    """`cuda` if there is a GPU for each process of this machine and it may be used, else `cpu`."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if settings.device == "cuda" and found < on_this_machine:
        raise Fatal(
            f"learn.device is cuda and this machine has {found or 'no'} usable GPU for "
            f"{on_this_machine} process(es) of the learner: set METAREC_LEARN__DEVICE=auto or cpu, "
            "or start fewer"
        )
    return "cuda" if settings.device != "cpu" and found >= on_this_machine else "cpu"


def _strategy(accelerator: str, place: Place) -> Strategy:
    if place.size == 1:
        return SingleDeviceStrategy(torch.device(accelerator))
    return DDPStrategy(
        cluster_environment=TorchElasticEnvironment(),
        process_group_backend="gloo" if accelerator == "cpu" else "cpu:gloo,cuda:nccl",
        timeout=_LONGEST_SILENCE,
    )
