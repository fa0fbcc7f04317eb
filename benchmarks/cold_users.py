"""Events a second of processor time with more users than fit in memory, beside all in memory.

Everything that a batch does, checkpoints included, over a log in memory. Each event's
user is drawn evenly from all: the worst case, as nearly every touch is of a user who is on disk.
Each run is a process of its own, in turns; medians and the range over the rounds are printed, and
the RSS after a quarter of the events and at the end of each run.

    .venv/bin/python -m benchmarks.cold_users --events 200000 --users 100000 --hot 10000 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.contract.codec import encode_interaction
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.transport import Output
from metarec_stream.memory.history import MemoryHistory
from metarec_stream.memory.log import MemoryLog
from metarec_stream.memory.source import MemorySource
from metarec_stream.memory.transaction import MemoryTransaction
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.batch import Batches
from metarec_stream.pipeline.checkpoint import Checkpoints
from metarec_stream.pipeline.compile_kernels import see_to_kernels
from metarec_stream.pipeline.recommender import Recommender
from metarec_stream.service.takeover import Takeover
from metarec_stream.state.row_store import RowStore
from metarec_stream.state.settings import StateSettings

ITEMS = 5_000
BATCH = 1_000
START_MS = 1_700_000_000_000
TOLD = ("cold_users_loaded_total", "cold_users_evicted_total", "users", "users_cold", "store_bytes")


class Pipeline:
    """A consumer over a log in memory that forgets what it no longer needs."""

    def __init__(self, settings: Settings, store: RowStore | None) -> None:
        self._settings = settings
        self._log = MemoryLog()
        self.registry = CollectorRegistry()
        metrics, clock = ConsumerMetrics(self.registry), SystemClock()
        self.recommender = Recommender(settings, metrics, clock, store=store)
        see_to_kernels()
        self.recommender.warm_up()
        checkpoints = Checkpoints(self.recommender.hard, self.recommender.items, metrics, clock)
        topics, group = settings.topics, settings.kafka.group
        source = MemorySource(self._log, topics.interactions, group)
        takeover = Takeover(
            settings, self.recommender,
            MemoryHistory(self._log, topics.interactions, topics.state, group), metrics, clock,
            source.resume, lambda what, partition, text: None,
        )  # fmt: skip
        takeover.add((0,))
        while takeover.waiting:
            takeover.step()
        self._batches = Batches(
            source, MemoryTransaction(self._log, topics.interactions), self.recommender,
            checkpoints, settings, metrics, clock,
        )  # fmt: skip

    def take(self, events: list[Interaction]) -> float:
        """Seconds of processor time of a batch of these, the disk's own threads included."""
        topics = self._settings.topics
        for each in events:
            value, headers = encode_interaction(each)
            output = Output(topics.interactions, 0, each.user.encode(), value, headers)
            self._log.append(output, each.ts)
        started = time.process_time()
        self._batches.run()
        taken = time.process_time() - started
        for topic in (*topics.partitioned(), topics.receipts):
            self._log.drop_before(topic, 0, self._log.end(topic, 0))
        return taken


def run(events: int, users: int, hot: int | None, seed: int) -> dict[str, object]:
    """One run in this process."""
    random = np.random.default_rng(seed)
    settings = Settings(state=StateSettings(max_hot_users=hot))
    with tempfile.TemporaryDirectory() as folder:
        store = None if hot is None else RowStore(Path(folder))
        pipeline = Pipeline(settings, store)
        seconds, memory = 0.0, []
        for at in range(0, events, BATCH):
            drawn = zip(
                random.integers(0, users, BATCH).tolist(),
                np.minimum(random.zipf(1.3, BATCH), ITEMS).tolist(),
                strict=True,
            )
            batch = [
                Interaction(user=f"user-{user}", item=f"item-{item}", ts=START_MS + at + place)
                for place, (user, item) in enumerate(drawn)
            ]
            seconds += pipeline.take(batch)
            memory.append(resident_mb())
        pipeline.recommender.export()
        told = {name: pipeline.registry.get_sample_value(f"metarec_{name}") for name in TOLD}
        if store is not None:
            store.close()
    return {
        "events_per_second": round(events / seconds),
        "rss_mb_at_a_quarter": memory[len(memory) // 4],
        "rss_mb_at_the_end": memory[-1],
        **told,
    }


def resident_mb() -> int:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def run_apart(arguments: argparse.Namespace, hot: int | None, seed: int) -> dict[str, float]:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cold_users", "--events", str(arguments.events)]
    command += ["--users", str(arguments.users), "--once", str(seed)]
    command += ["--hot", str(hot or 0)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def summary(runs: list[dict[str, float]]) -> dict[str, object]:
    """Medians, and the range of the rates."""
    rates = [each["events_per_second"] for each in runs]
    medians = {
        name: statistics.median(each[name] for each in runs)
        for name in runs[0]
        if runs[0][name] is not None
    }
    return {**medians, "lowest": min(rates), "highest": max(rates)}


def main() -> None:
    """Run the rounds and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--hot", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", type=int, default=None, help="one run here, with this seed")
    arguments = parser.parse_args()
    if arguments.once is not None:
        hot = arguments.hot or None
        print(json.dumps(run(arguments.events, arguments.users, hot, arguments.once)))
        return
    runs: dict[str, list[dict[str, float]]] = {"all_hot": [], "bounded": []}
    for seed in range(arguments.rounds):
        runs["all_hot"].append(run_apart(arguments, None, seed))
        runs["bounded"].append(run_apart(arguments, arguments.hot, seed))
    print(json.dumps({name: summary(each) for name, each in runs.items()}, indent=1))


if __name__ == "__main__":
    main()
