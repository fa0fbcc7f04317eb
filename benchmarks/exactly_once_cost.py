"""What exactly-once costs against at-least-once, and what checkpoints cost, in the same run.

Each round posts the same interactions to fresh topics and lets one consumer work off the backlog:
at least once, exactly once without checkpoints, and exactly once with a checkpoint of each
partition every 1, 5 and 30 s. Rounds alternate, so that a machine whose speed drifts treats all
alike; the median and the spread over the rounds are printed, and the ratios round by round. Post
enough events that a run takes more than a minute, or the longest interval sees no checkpoint.

    .venv/bin/python -m benchmarks.exactly_once_cost --events 400000 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.service_run import own_settings, rate_of_service
from metarec_stream.config import Settings
from metarec_stream.kafka.embedded import EmbeddedBroker

NEVER_S = 3_600
WITHOUT = "exactly once, no checkpoint"
SUBJECTS: Mapping[str, tuple[str, float]] = {
    "at least once, no checkpoint": ("at-least-once", NEVER_S),
    WITHOUT: ("exactly-once", NEVER_S),
    "exactly once, every 1 s": ("exactly-once", 1.0),
    "exactly once, every 5 s": ("exactly-once", 5.0),
    "exactly once, every 30 s": ("exactly-once", 30.0),
}
"""Guarantee, and seconds between two checkpoints of a partition."""


def settings_of(bootstrap_servers: str, guarantee: str, every_s: float) -> Settings:
    """Of one run, with topics of its own."""
    settings = own_settings(bootstrap_servers)
    kafka = settings.kafka.model_copy(update={"guarantee": guarantee})
    state = settings.state.model_copy(
        update={"checkpoint_every_s": every_s, "checkpoint_events": 1_000_000_000}
    )
    return settings.model_copy(update={"kafka": kafka, "state": state, "emit": "per_event"})


def measured(events: int, rounds: int, bootstrap_servers: str) -> dict[str, dict[str, float]]:
    """Rates and ratios by subject."""
    rates: dict[str, list[float]] = {name: [] for name in SUBJECTS}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            for name, (guarantee, every_s) in SUBJECTS.items():
                settings = settings_of(bootstrap_servers, guarantee, every_s)
                rates[name].append(rate_of_service(settings, events, Path(folder)))
                print(f"round {turn + 1} {name}: {rates[name][-1]:,.0f}/s", file=sys.stderr)
    return {name: summary(seen, rates[WITHOUT]) for name, seen in rates.items()}


def summary(seen: Sequence[float], without: Sequence[float]) -> dict[str, float]:
    """Of one subject; the share of throughput that it costs is against `without`."""
    ratios = [mine / other for mine, other in zip(seen, without, strict=True)]
    return {
        "median_per_second": round(statistics.median(seen)),
        "least": round(min(seen)),
        "greatest": round(max(seen)),
        "median_ratio_to_exactly_once_without_checkpoints": round(statistics.median(ratios), 3),
        "least_ratio": round(min(ratios), 3),
        "greatest_ratio": round(max(ratios), 3),
    }


def main() -> None:
    """Run the rounds and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with EmbeddedBroker(None, None, lambda line: print(line, file=sys.stderr)) as broker:
        found = measured(arguments.events, arguments.rounds, broker.bootstrap_servers)
    print(json.dumps({"events": arguments.events, "rounds": arguments.rounds, **found}, indent=2))


if __name__ == "__main__":
    main()
