"""Seconds of an outer step: the gradient of a batch of logged tasks, and both optimizers.

Every batch has the shapes that `metarec serve` logs by default: the item that came and 128
candidates with all features, over a catalogue of 20,000 items drawn with a heavy tail. The numbers
are drawn at random; what a step costs does not depend on them. Each run times steps on fresh
batches after a warm-up; the median and the spread over all steps of all runs are printed, and the
device.

    .venv/bin/python -m benchmarks.outer_step --runs 5 --device cpu
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

from metarec_stream.config import Settings
from metarec_stream.contract.task import TaskBlock
from metarec_stream.learner.events import TaskEvents, events_of
from metarec_stream.learner.processes import Processes
from metarec_stream.learner.replica import Replica
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.learner.snapshot import beginning
from metarec_stream.learner.start import built_in_version
from metarec_stream.pipeline.features import FEATURES, SITUATION

ITEMS = 20_000
WARM_UP = 3
STEPS = 10
TAIL = 1.2
"""Exponent of the Zipf distribution that items are drawn from."""


def batch(settings: Settings, size: int, random: np.random.Generator) -> TaskEvents:
    """Task events of the default shapes."""
    candidates = 1 + settings.learn.strongest + settings.learn.random
    window = settings.value_sum.window

    def drawn(width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
        return (random.zipf(TAIL, (size, width)) % ITEMS).astype(np.int32)

    block = TaskBlock(
        partition=0,
        meta_version=0,
        items=[],
        offsets=np.arange(size),
        event_times=np.arange(size),
        users=np.arange(size, dtype=np.uint64),
        weights=np.ones(size, np.float32),
        candidates=drawn(candidates),
        reranked=np.ones((size, candidates), np.uint8),
        log_q=np.zeros((size, candidates), np.float32),
        features=random.random((size, candidates, len(FEATURES)), np.float32),
        window=drawn(window),
        gaps=random.exponential(86_400.0, (size, window)).astype(np.float32),
        situation=random.random((size, len(SITUATION)), np.float32),
        feature_weights=np.zeros((size, 3, len(FEATURES)), np.float32),
        item_tokens=np.zeros((0, 0), np.int16),
        profile_tokens=np.zeros((size, 0), np.int16),
    )
    return events_of(block, np.arange(ITEMS, dtype=np.int32))


def seconds(settings: Settings, size: int, seed: int) -> list[float]:
    """The seconds of each timed step of one run."""
    random = np.random.default_rng(seed)
    start = beginning(built_in_version(settings), newest=0)
    replica = Replica(settings.learn, Processes(settings.learn), [], start.arrays)
    replica.add_items([f"item-{number}" for number in range(ITEMS)])
    batches = [batch(settings, size, random) for _ in range(WARM_UP + STEPS)]
    taken = []
    for events in batches:
        started = time.perf_counter()
        replica.step(events)  # its losses come back to the CPU: the device has done its work
        taken.append(time.perf_counter() - started)
    return taken[WARM_UP:]


def device_name(settings: Settings) -> str:
    """What the steps run on, in words."""
    if Processes(settings.learn).device.type == "cuda":
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = named[0] if named else model
    return f"{model}, {settings.learn.threads} thread(s)"


def main() -> int:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 2_048])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--precision", choices=["32", "bf16"], default="32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures there")
    given = parser.parse_args()
    learn = LearnSettings(device=given.device, precision=given.precision, threads=given.threads)
    settings = Settings(learn=learn)
    figures: dict[str, object] = {"device": device_name(settings), "precision": given.precision}
    print(f"{figures['device']}, precision {given.precision}")
    for size in given.batch:
        runs = [seconds(settings, size, seed) for seed in range(given.runs)]
        medians = sorted(statistics.median(run) for run in runs)
        every = sorted(step for run in runs for step in run)
        median = statistics.median(every)
        figures[str(size)] = {"median": median, "runs": medians}
        print(
            f"batch {size:5,}: median {1e3 * median:.1f} ms of {len(every)} steps "
            f"({1e3 * every[0]:.1f} to {1e3 * every[-1]:.1f}), "
            f"medians of {given.runs} runs {1e3 * medians[0]:.1f} to {1e3 * medians[-1]:.1f} ms"
        )
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
