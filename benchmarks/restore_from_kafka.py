"""Users restored a second from a changelog on a real broker, beside a plain read of it.

`read` polls the whole partition, read committed, and looks at nothing; `restore` does that and
brings everybody into memory, `to_disk` onto the local disk, both checked against the header. Rows
are those of `restore_rate`. The subjects take turns, each with connections and state of its own;
medians and the range over the rounds are printed, and what a restore takes beside the read of the
same round. Seconds are those that pass.

    .venv/bin/python -m benchmarks.restore_from_kafka --users 100000 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from kafka import KafkaProducer

from benchmarks.restore_rate import (
    changelog_of,
    exhaust,
    megabytes_of,
    rates,
    restore,
    restore_to_disk,
)
from benchmarks.service_run import own_settings
from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.kafka.changelog import Changelog
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.embedded import EmbeddedBroker
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.memory.log import MemoryRecord

Slices = Iterable[Sequence[Record]]


def to_disk(settings: Settings, slices: Slices) -> None:
    """Onto an empty disk."""
    with TemporaryDirectory() as folder:
        restore_to_disk(settings, slices, Path(folder))


SUBJECTS: Mapping[str, Callable[[Settings, Slices], None]] = {
    "read": lambda _, slices: exhaust(slices),
    "restore": restore,
    "to_disk": to_disk,
}


def write(settings: Settings, records: Sequence[MemoryRecord]) -> None:
    """Onto the first partition of the state topic."""
    ensure_topics(settings)
    producer = KafkaProducer(**client_options(settings.kafka), linger_ms=50)
    for record in records:
        producer.send(settings.topics.state, key=record.key, value=record.value, partition=0)
    producer.flush()
    producer.close()


def seconds_of(work: Callable[[Settings, Slices], None], settings: Settings) -> float:
    """From the first request to the last row, connected before."""
    with closing(Changelog(settings)) as changelog:
        changelog.connect()
        started = time.monotonic()
        work(settings, changelog.read(0, 0))
        return time.monotonic() - started


def main() -> None:
    """Run the rounds and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    taken: dict[str, list[float]] = {name: [] for name in SUBJECTS}
    with EmbeddedBroker(None, None, lambda line: print(line, file=sys.stderr)) as broker:
        settings = own_settings(broker.bootstrap_servers)
        records = changelog_of(settings, arguments.users, arguments.events)
        write(settings, records)
        for _ in range(arguments.rounds):
            for name, work in SUBJECTS.items():
                taken[name].append(seconds_of(work, settings))
    megabytes = megabytes_of(records)
    found = {
        name: {
            **rates(arguments.users, megabytes, each),
            "lowest_users_per_second": round(arguments.users / max(each)),
            "highest_users_per_second": round(arguments.users / min(each)),
            "seconds_beside_read": round(
                statistics.median(a / b for a, b in zip(each, taken["read"], strict=True)), 2
            ),
        }
        for name, each in taken.items()
    }
    print(json.dumps({"users": arguments.users, "megabytes": round(megabytes, 1), **found}))


if __name__ == "__main__":
    main()
