"""Objectives and ledgers for tests: quick to try, with a known best."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.config import Settings
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.learner.settings import GateSettings, LearnSettings
from metarec_stream.tune.ledger import Bounds, Ledger
from metarec_stream.tune.objective import Objective, Watch, objective_until
from metarec_stream.tune.space import Value, present_values, search_ranges
from tests.evaluate.streams import planted_table

SMALL = Settings(
    learn=LearnSettings(block=32, device="cpu", table_rate=0.05),
    gate=GateSettings(window=64, minimum=64, confidence=0.0),
    value_sum=ValueSumSettings(dimensions=4, time_scales=1, window=4),
)
SEARCH = "learn.table_rate,learn.steps"


def small_objective(rows: int = 400) -> Objective:
    """The default on the first half of users going their rounds."""
    return objective_until(0.5, planted_table(rows, seed=1), Protocol(score_from=0.1), SMALL, 32)


def ledger_in(
    folder: Path, trials: int, search: str = SEARCH, seed: int = 0, **more: Any
) -> Ledger:
    """A ledger of the small settings, over a search that is described by its seed alone."""
    ranges = search_ranges(search, SMALL, 256)
    description = {"settings": {"seed": seed}}
    bounds = Bounds(trials, more.pop("seconds", None))
    return Ledger(folder, description, ranges, present_values(SMALL, ranges), bounds, **more)


def quality(values: Mapping[str, Value]) -> float:
    """Best at a table rate of 1e-2, whatever else."""
    return 1 - (math.log10(values["learn.table_rate"]) + 2) ** 2 / 10


class Formula(Objective):
    """An objective that needs no replay: `quality` of the values."""

    def mrr(self, values: Mapping[str, Value], watch: Watch) -> float:
        """Told in two segments."""
        watch.events(1)
        watch.segment(1, quality(values))
        watch.segment(2, quality(values))
        return quality(values)


class Ends(Objective):
    """An objective whose process is gone in the middle of a trial."""

    def mrr(self, values: Mapping[str, Value], watch: Watch) -> float:
        """Ends the process."""
        watch.events(1)
        os._exit(9)


class Endless(Objective):
    """An objective that goes on for ever."""

    def mrr(self, values: Mapping[str, Value], watch: Watch) -> float:
        """Tells of one event after another."""
        while True:
            watch.events(1)
            time.sleep(0.01)


def formula(kind: type[Objective] = Formula) -> Objective:
    """One of these, over a stream that nobody looks at."""
    return kind(planted_table(10, seed=1), Protocol(), SMALL, 256)
