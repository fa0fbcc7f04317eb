"""A protocol for tests: a file of users, items and times, the last half of it scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from metarec_stream.benchmark.protocols import Benchmark, DataFile, Known
from metarec_stream.datasets.settings import SyntheticSettings
from metarec_stream.datasets.synthetic import synthetic_stream
from metarec_stream.evaluate.dataset import Columns, read_events
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.protocols.adaptation import changed_taste
from metarec_stream.evaluate.protocols.trial import Trial
from tests.evaluate.streams import planted_table

FILE = "planted.csv"

PLANTED = Benchmark(
    name="planted",
    title="Planted rings",
    text="Users go round a ring of items of their own.",
    trial="tests.benchmark.planted:trial",
    files=(DataFile(FILE, "user, item, time (s)", "made up by the tests"),),
    measures=("mrr", "hr@10"),
    controls_choose_on="the first half.",
    known=(Known("a guess", {"mrr": 0.2, "hr@10": 0.5}),),
    aims={"mrr": 0.9},
)


def trial(data_dir: Path, seed: int) -> Trial:
    """The events of the file."""
    columns = Columns("user", "item", "time")
    return Trial(read_events(data_dir / FILE, columns), Protocol(), PLANTED.measures)


CHANGING = replace(
    PLANTED,
    name="changing",
    trial="tests.benchmark.planted:changing_trial",
    files=(),
    measures=("hr@10 after 1-4", "mrr"),
)


def changing_trial(data_dir: Path, seed: int) -> Trial:
    """A small synthetic stream in whose middle every taste changes."""
    section = SyntheticSettings(
        events=4_000, users=60, items=100, change_at=(2_000,), repeats=0.0, new_items=0.0
    )
    return changed_taste(synthetic_stream(section, seed))


def write_planted(data_dir: Path, events: int = 400, seed: int = 1) -> None:
    """Put a planted stream where the protocol looks for it."""
    table = planted_table(events, seed)
    columns = {"user": table.user, "item": table.item, "time": table.ts // 1_000}
    pl.DataFrame(columns).write_csv(data_dir / FILE)
