"""A learner in several processes, on planted blocks, without transport."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from msgspec.structs import replace
from safetensors.numpy import save_file

from metarec_stream.adapters.value_sum.parameters import NAME
from metarec_stream.errors import Fatal
from metarec_stream.learner import leader
from metarec_stream.learner.events import TaskEvents
from metarec_stream.learner.inputs import PrefixChoice
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.outer_loop import Arrays
from metarec_stream.learner.place import place_of
from metarec_stream.learner.processes import Processes
from metarec_stream.learner.replica import Losses, Replica
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.learner.snapshot import Snapshot, beginning
from metarec_stream.learner.start import built_in_version
from tests.learner.planted import planted_block, quick_settings

ROOT = Path(__file__).parents[2]
BLOCKS = 14
LIMIT_S = 100.0


def start(size: int, folder: Path, dies_at: int | None = None) -> list[ForkServerProcess]:
    """Start the processes, the leader first.

    Rank 0 learns, and writes what it learned to the folder; a follower whose `dies_at` is given
    kills itself after as many steps; one that ends by a Fatal writes it to the folder. They are
    forked from one process that has torch.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
    started = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        for rank in range(size):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            dies = dies_at if rank == size - 1 else None
            process = context.Process(target=_one, args=({**shared, **own}, folder, dies))
            process.start()
            started.append(process)
    return started


def statuses(started: list[ForkServerProcess]) -> list[int | None]:
    """The exit status of each once all have ended; none is left behind."""
    for process in started:
        process.join(LIMIT_S)
    ended = [process.exitcode for process in started]
    for process in started:
        process.kill()
    return ended


def learn(processes: Processes) -> dict[str, np.ndarray]:
    """Learn blocks of several sizes, one event alone among them; the weights and the versions.

    In the first four blocks they react to a drift.
    """
    settings = quick_settings(proximal=0.01, l2=1e-4, drift_half_life=0.5)
    live = built_in_version(settings)
    known = beginning(live, live.version)
    checkpoint = Snapshot(replace(known.progress, drift_blocks=4), known.arrays)
    one = Learner(settings, live, checkpoint=checkpoint, processes=processes)
    assert one.reacting
    published = []
    for number in range(BLOCKS):
        one.take(planted_block(number, n=70), number + 1)
        version = one.decide(number)
        published += [version] if version else []
    one.flush()
    one.take(planted_block(BLOCKS, n=1), BLOCKS + 1)
    one.flush()
    arrays = one.replica.arrays()
    assert not one.turn(False)
    one.end()
    assert {version.adapter for version in published} == {NAME}
    numbers = [[version.version, version.metrics["loss"]] for version in published]
    return {**arrays, "published": np.array(numbers)}


def _one(environment: dict[str, str], folder: Path, dies_at: int | None) -> None:
    """One of the processes."""
    os.environ.update(environment)
    place = place_of(os.environ)
    try:
        processes = Processes(quick_settings().learn, place)
        if place.rank == 0:
            save_file(learn(processes), folder / "learned-0")
            return
        _Watched.dies_at = dies_at
        pytest.MonkeyPatch().setattr("metarec_stream.learner.leader.Replica", _Watched)
        leader.follow(processes, threading.Event(), lambda: None)
        save_file(_Watched.made[0].arrays(), folder / f"learned-{place.rank}")
    except Fatal as fatal:
        (folder / f"fatal-{place.rank}").write_text(str(fatal), encoding="utf-8")
        raise


class _Watched(Replica):
    """A follower's replica that can be looked at, and whose process can be killed at a step."""

    made: ClassVar[list[Replica]] = []
    dies_at: ClassVar[int | None] = None
    steps = 0

    def __init__(
        self, settings: LearnSettings, processes: Processes, items: list[str], arrays: Arrays
    ) -> None:
        super().__init__(settings, processes, items, arrays)
        self.made.append(self)

    def step(self, events: TaskEvents, choice: PrefixChoice | None = None) -> Losses | None:
        if self.steps == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps += 1
        return super().step(events, choice)
