"""Rank 0 leads: what it does to its replica, the other processes of the learner do to theirs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from metarec_stream.learner.contenders import Contender
from metarec_stream.learner.events import TaskEvents
from metarec_stream.learner.inputs import PrefixChoice
from metarec_stream.learner.outer_loop import Arrays, Judged
from metarec_stream.learner.processes import Processes
from metarec_stream.learner.replica import Losses, Replica
from metarec_stream.learner.settings import LearnSettings


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    """What all processes do now."""

    do: Literal[
        "begin", "add_items", "put_content", "judge", "step", "roll_back", "anchor_at", "turn",
        "end",
    ]  # fmt: skip
    settings: str = ""
    """JSON of the leader's, which hold for all."""
    items: list[str] = []
    arrays: bytes = b""
    """As safetensors."""
    choice: PrefixChoice | None = None
    contender: Contender = "candidate"


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Order)


class Leader:
    """The replica of rank 0, which alone consumes tasks, decides and publishes.

    Each method does what `Replica`'s of the same name does, everywhere. Alone, there is nobody to
    tell. Raises Fatal if a follower has gone.
    """

    def __init__(
        self, settings: LearnSettings, processes: Processes, items: list[str], arrays: Arrays
    ) -> None:
        self._processes = processes
        self._tell("begin", items, arrays, settings)
        self.replica = Replica(settings, processes, items, arrays)

    def add_items(self, items: list[str]) -> None:
        if items:
            self._tell("add_items", items)
            self.replica.add_items(items)

    def put_content(self, rows: NDArray[np.int64], tokens: NDArray[np.int16]) -> None:
        self._tell("put_content", arrays={"rows": rows, "tokens": tokens})
        self.replica.put_content(rows, tokens)

    def judge(self, events: TaskEvents) -> Judged:
        self._tell("judge", arrays=events.arrays())
        return self.replica.judge(events)

    def step(self, events: TaskEvents, choice: PrefixChoice | None = None) -> Losses | None:
        self._tell("step", arrays=events.arrays(), choice=choice)
        return self.replica.step(events, choice)

    def roll_back(self) -> None:
        self._tell("roll_back")
        self.replica.roll_back()

    def anchor_at(self, contender: Contender) -> None:
        self._tell("anchor_at", contender=contender)
        self.replica.anchor_at(contender)

    def turn(self, stop: bool) -> bool:
        """Whether any process was asked to stop; asked often enough, all stay responsive."""
        self._tell("turn")
        return self._processes.any(stop)

    def end(self) -> None:
        """All end, and are through when this returns."""
        self._tell("end")
        self._processes.part()

    def _tell(
        self,
        do: str,
        items: list[str] | None = None,
        arrays: Arrays | None = None,
        settings: LearnSettings | None = None,
        choice: PrefixChoice | None = None,
        contender: Contender = "candidate",
    ) -> None:
        if self._processes.place.size == 1:
            return
        order = {
            "do": do,
            "items": items or [],
            "arrays": save_tensors({k: np.ascontiguousarray(v) for k, v in (arrays or {}).items()}),
            "settings": "" if settings is None else settings.model_dump_json(),
            "choice": choice,
            "contender": contender,
        }
        self._processes.broadcast(_encoder.encode(order))


def follow(processes: Processes, stop: threading.Event, on_begin: Callable[[], None]) -> None:
    """Do what the leader does until it ends; `stop` asks it to.

    on_begin is called when there is something to follow: until then nothing sees `stop`. Raises
    Fatal if the leader or another follower has gone.
    """
    order = _decoder.decode(processes.broadcast())
    settings = LearnSettings.model_validate_json(order.settings)
    replica = Replica(settings, processes, order.items, load_tensors(order.arrays))
    on_begin()
    while order.do != "end":
        order = _decoder.decode(processes.broadcast())
        _do(order, replica, processes, stop)
    processes.part()


def _do(order: _Order, replica: Replica, processes: Processes, stop: threading.Event) -> None:
    match order.do:
        case "add_items":
            replica.add_items(order.items)
        case "put_content":
            replica.put_content(**load_tensors(order.arrays))
        case "judge":
            replica.judge(TaskEvents(**load_tensors(order.arrays)))
        case "step":
            replica.step(TaskEvents(**load_tensors(order.arrays)), order.choice)
        case "roll_back":
            replica.roll_back()
        case "anchor_at":
            replica.anchor_at(order.contender)
        case "turn":
            processes.any(stop.is_set())
