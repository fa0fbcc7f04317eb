"""Sustained rate of `metarec serve` beside a transactional kafka-python echo, in the same run.

Each round posts the same interactions to a fresh topic and lets one consumer work off the
backlog: the echo (a process that sends every record on and commits the offsets in the transaction,
nothing else), then the service with `emit = per_user` and with `emit = per_event`. Rounds
alternate, so that a machine whose speed drifts treats all alike; the median and the spread over the
rounds are printed.

    .venv/bin/python -m benchmarks.consumer_rate --events 40000 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.service_run import LIMIT_S, WARM_UP, own_settings, post, rate_of_service
from metarec_stream.config import Settings
from metarec_stream.contract.transport import Output
from metarec_stream.kafka.embedded import EmbeddedBroker
from metarec_stream.kafka.rebalance import Rebalance
from metarec_stream.kafka.source import KafkaSource
from metarec_stream.kafka.transaction import KafkaTransaction


def echo(settings: Settings, count: int, started: multiprocessing.Queue[float]) -> None:
    """Send each record on, one output an input, offsets in the transaction."""

    def flow(change: Rebalance) -> None:
        if change.kind == "assigned":
            for partition in change.partitions:
                source.resume(partition, 0)

    source = KafkaSource(settings, flow)
    transaction = KafkaTransaction(settings)
    taken = 0
    clock_started = False
    while taken < count:
        records = source.poll(settings.batch.poll_ms, settings.batch.max_records)
        if not records:
            continue
        if taken >= WARM_UP and not clock_started:
            started.put(time.monotonic())
            started.put(float(taken))
            clock_started = True
        generation = source.group_metadata()
        transaction.begin()
        transaction.send_offsets(
            {record.partition: record.offset + 1 for record in records}, generation
        )
        topic = settings.topics.recommendations
        for record in records:
            transaction.send(Output(topic, record.partition, record.key, record.value))
        transaction.commit()
        taken += len(records)
    started.put(time.monotonic())
    transaction.close()
    source.close()


def rate_of_echo(bootstrap_servers: str, count: int) -> float:
    """Records a second."""
    settings = own_settings(bootstrap_servers)
    posted = post(settings, count)
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[float] = context.Queue()
    process = context.Process(target=echo, args=(settings, posted, answers))
    process.start()
    begun, before, ended = (answers.get(timeout=LIMIT_S) for _ in range(3))
    process.join(30)
    return (posted - before) / (ended - begun)


def rate_with(bootstrap_servers: str, count: int, emit: str, folder: Path) -> float:
    """Events a second of the service."""
    settings = own_settings(bootstrap_servers).model_copy(update={"emit": emit})
    return rate_of_service(settings, count, folder)


def measured(events: int, rounds: int, bootstrap_servers: str) -> dict[str, dict[str, float]]:
    """Median, least and greatest rate of each, and its ratio to the echo's round by round."""
    with tempfile.TemporaryDirectory() as folder:
        subjects: dict[str, Callable[[], float]] = {
            "echo": lambda: rate_of_echo(bootstrap_servers, events),
            "per_user": lambda: rate_with(bootstrap_servers, events, "per_user", Path(folder)),
            "per_event": lambda: rate_with(bootstrap_servers, events, "per_event", Path(folder)),
        }
        rates: dict[str, list[float]] = {name: [] for name in subjects}
        for turn in range(rounds):
            for name, subject in subjects.items():
                rates[name].append(subject())
                print(f"round {turn + 1} {name}: {rates[name][-1]:,.0f}/s", file=sys.stderr)
    return {
        name: {
            "median_per_second": statistics.median(seen),
            "least": min(seen),
            "greatest": max(seen),
            "median_ratio_to_echo": statistics.median(
                mine / echoed for mine, echoed in zip(seen, rates["echo"], strict=True)
            ),
        }
        for name, seen in rates.items()
    }


def main() -> None:
    """Run the rounds and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with EmbeddedBroker(None, None, lambda line: print(line, file=sys.stderr)) as broker:
        print(
            json.dumps(
                measured(arguments.events, arguments.rounds, broker.bootstrap_servers), indent=2
            )
        )


if __name__ == "__main__":
    main()
