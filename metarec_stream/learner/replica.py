"""The slow weights in learning, as each process of the learner holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarec_stream.adapters.value_sum.parameters import NAME, TABLES
from metarec_stream.catalogue.content import TokenRows
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.task import MOST_TOKENS
from metarec_stream.learner.averaging import WeightAverage
from metarec_stream.learner.contenders import Contender
from metarec_stream.learner.events import TaskEvents
from metarec_stream.learner.inputs import PrefixChoice
from metarec_stream.learner.outer_loop import Arrays, Judged, OuterLoop
from metarec_stream.learner.processes import Processes
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.learner.snapshot import under
from metarec_stream.learner.tables import SlowWeights

Losses = NDArray[np.float32]
_NO_ROWS = np.zeros(0, np.int64)
_NO_TOKENS = np.zeros((0, MOST_TOKENS), np.int16)


class Replica:
    """The anchor of the gate, the candidate, its average, and the outer loop that moves it.

    arrays: `anchor/…`, and whatever `arrays` gave of `candidate/…` and `average/…` (else equal to
    the anchor), of the outer loop and of `content/…`. items: the ids of the tables' rows; where a
    set has fewer rows, the last are new.
    """

    def __init__(
        self, settings: LearnSettings, processes: Processes, items: list[str], arrays: Arrays
    ) -> None:
        anchor = under("anchor", arrays)
        self.anchor = _slow_weights(items, anchor, processes)
        moving = under("candidate", arrays) or anchor
        self.candidate = _slow_weights(items, moving, processes)
        averaged = _slow_weights(items, under("average", arrays) or moving, processes)
        self._averaging = WeightAverage(averaged, settings.average_steps, processes.device)
        self._averaging.restore(under("uses", arrays))
        self.content = TokenRows()
        self.put_content(**under("content", arrays))
        self._loop = OuterLoop(
            settings, self.candidate, processes, self.content, self._averaging.follow
        )
        self._loop.restore(arrays)

    @property
    def average(self) -> SlowWeights:
        """The mean of what the candidate was in its latest steps."""
        return self._averaging.weights

    def add_items(self, items: list[str]) -> None:
        """Rows for items that nobody knows."""
        for weights in (self.anchor, self.candidate, self.average):
            weights.add_items(items)

    def put_content(
        self, rows: NDArray[np.int64] = _NO_ROWS, tokens: NDArray[np.int16] = _NO_TOKENS
    ) -> None:
        """From now on the items of these rows have these tokens [rows, MOST_TOKENS]."""
        self.content.put(rows, tokens)

    def contender(self, name: Contender) -> SlowWeights:
        """The candidate or its average."""
        return {"candidate": self.candidate, "average": self.average}[name]

    def judge(self, events: TaskEvents) -> Judged:
        """The anchor's and the average's loss of each event."""
        return self._loop.judge(self.anchor, self.average, events)

    def step(self, events: TaskEvents, choice: PrefixChoice | None = None) -> Losses | None:
        """Move the candidate; the loss of each event before it, None if it could not move."""
        return self._loop.step(events, choice)

    def roll_back(self) -> None:
        """Candidate and average begin again from the anchor."""
        self.candidate.take_over(self.anchor)
        self.average.take_over(self.anchor)
        self._averaging.begin_anew()
        self._loop.restart()

    def anchor_at(self, contender: Contender) -> None:
        """What the contender is now becomes the anchor."""
        self.anchor.take_over(self.contender(contender))
        self._loop.adopt_parent(self.anchor)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copies of all that another replica needs to go on just as this one."""
        loop = {
            name: np.array(tensor.detach().cpu().numpy())
            for name, tensor in {**self._loop.tensors(), **self._averaging.tensors()}.items()
        }
        sets = {"anchor": self.anchor, "candidate": self.candidate, "average": self.average}
        weights = {
            f"{kind}/{name}": array
            for kind, kept in sets.items()
            for name, array in kept.arrays().items()
        }
        return {**weights, **loop, **self._kept_content()}

    def _kept_content(self) -> dict[str, NDArray[Any]]:
        rows = np.arange(len(self.content))
        tokens = self.content.of(rows)
        told = (tokens >= 0).any(1)
        if not told.any():
            return {}
        return {"content/rows": rows[told], "content/tokens": tokens[told]}


def _slow_weights(items: list[str], parameters: Arrays, processes: Processes) -> SlowWeights:
    rows = len(parameters[TABLES[0]])
    # One order everywhere: gradients are summed over processes one after another.
    ordered = dict(sorted(parameters.items()))
    version = MetaVersion(0, -1, NAME, items[:rows], ordered)
    weights = SlowWeights(version, processes.device)
    weights.add_items(items[rows:])
    return weights
