"""Users restored a second of one core, beside a plain decode of the same changelog rows.

The rows are in memory: what reading them from the brokers costs comes on top. `to_disk` is the
same with `state.max_hot_users`, which puts them on the local disk; `from_disk` is a restart there.

Rows are made up: rings of 1 to 2 x `--events` events on items that few like and few that many do.
Both passes see the same slices, in turns; the median over the rounds is printed.

    .venv/bin/python -m benchmarks.restore_rate --users 100000 --events 20 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from prometheus_client import CollectorRegistry

from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.kafka.changelog import MOST_RECORDS
from metarec_stream.memory.log import MemoryRecord
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.recommender import Recommender
from metarec_stream.pipeline.restore import Restore
from metarec_stream.state.digest import Digest
from metarec_stream.state.header import HEADER_KEY, Header, encode_header
from metarec_stream.state.rings import Rings, empty_rings
from metarec_stream.state.row import decode_row, encode_rows, user_key
from metarec_stream.state.row_store import RowStore
from metarec_stream.state.settings import StateSettings

ITEMS = 20_000
NOW_MS = 1_700_000_000_000


def made_up_rings(users: int, events: int, ring: int, seed: int) -> Rings:
    """Rings of different lengths, their events in order of time."""
    random = np.random.default_rng(seed)
    rings = empty_rings(users, ring)
    rings.length[:] = np.minimum(random.integers(1, 2 * events + 1, users), ring)
    rings.accepted[:] = rings.length
    rings.wanted[:] = rings.length
    rings.item[:] = np.minimum(random.zipf(1.3, rings.item.shape), ITEMS) - 1
    rings.kind[:] = random.integers(0, 4, rings.kind.shape)
    rings.time[:] = NOW_MS - np.cumsum(random.integers(0, 86_400_000, rings.time.shape), axis=1)
    rings.event[:] = random.integers(1, 1 << 63, rings.event.shape, np.uint64)
    return rings


def changelog_of(settings: Settings, users: int, events: int) -> list[MemoryRecord]:
    """The records of a changelog: a row for each user, then the header."""
    rings = made_up_rings(users, events, settings.state.ring, settings.seed)
    rows = np.arange(users)
    names = [f"item {number}" for number in range(ITEMS)]
    values = encode_rows(rings, rows, rows, names, list(settings.events.table()))
    keys = [user_key(f"user-{row:09d}") for row in range(users)]
    pairs = list(zip(keys, values, strict=True))
    header = Header(
        offset=users, accepted=int(rings.accepted.sum()), rejected=0, duplicates=0,
        watermark=NOW_MS, first_id=0, next_id=0, users=users, segments=0,
        digest=Digest.of(pairs).to_bytes(), settings=bytes(8),
    )  # fmt: skip
    pairs.append((HEADER_KEY, encode_header(header)))
    return [
        MemoryRecord("state", 0, offset, NOW_MS, key, value, ())
        for offset, (key, value) in enumerate(pairs)
    ]


def restore(settings: Settings, slices: Iterable[Sequence[Record]]) -> None:
    """Into a new process's hard state, checked against the header."""
    metrics = ConsumerMetrics(CollectorRegistry())
    recommender = Recommender(settings, metrics, SystemClock())
    recommender.assign(0)
    filling = recommender.restore(0)
    for each in slices:
        filling.take(each)
    filling.finish()


def restore_to_disk(settings: Settings, slices: Iterable[Sequence[Record]], folder: Path) -> None:
    """Onto an empty disk."""
    with closing(RowStore(folder)) as store:
        filling = empty_process(settings, store)
        exhaust(filling.take_stored())
        for each in slices:
            filling.take(each)
        filling.finish()


def restore_from_disk(settings: Settings, slices: Sequence[Sequence[Record]], folder: Path) -> None:
    """Off that disk: of the changelog the last record alone is read."""
    with closing(RowStore(folder)) as store:
        filling = empty_process(settings, store)
        exhaust(filling.take_stored())
        filling.take(slices[-1][-1:])
        filling.finish()


def empty_process(settings: Settings, store: RowStore) -> Restore:
    """What fills its partition."""
    bounded = settings.model_copy(update={"state": StateSettings(max_hot_users=1_000)})
    metrics = ConsumerMetrics(CollectorRegistry())
    recommender = Recommender(bounded, metrics, SystemClock(), store=store)
    recommender.assign(0)
    return recommender.restore(0)


def exhaust(steps: Iterable[object]) -> None:
    """Through all of its slices."""
    for _ in steps:
        pass


def decode(slices: Sequence[Sequence[Record]]) -> None:
    """Each row into its fields, and no further."""
    for each in slices:
        for record in each:
            if record.key != HEADER_KEY:
                decode_row(record.value or b"", "the benchmark")


def seconds_of(work: Callable[[], None]) -> float:
    """Seconds of one core that it takes: others on the machine do not count."""
    started = time.process_time()
    work()
    return time.process_time() - started


def megabytes_of(records: Sequence[Record]) -> float:
    """Of their keys and values."""
    return sum(len(each.key or b"") + len(each.value or b"") for each in records) / 1e6


def rates(users: int, megabytes: float, seconds: Sequence[float]) -> dict[str, float]:
    """Users and megabytes a second, by the median of the rounds."""
    middle = statistics.median(seconds)
    return {
        "users_per_second": round(users / middle),
        "megabytes_per_second": round(megabytes / middle, 1),
    }


def main() -> None:
    """Run the rounds and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    settings = Settings()
    records = changelog_of(settings, arguments.users, arguments.events)
    slices = [records[at : at + MOST_RECORDS] for at in range(0, len(records), MOST_RECORDS)]
    megabytes = megabytes_of(records)
    taken: dict[str, list[float]] = {"decode": [], "restore": [], "to_disk": [], "from_disk": []}
    for _ in range(arguments.rounds):
        taken["decode"].append(seconds_of(lambda: decode(slices)))
        taken["restore"].append(seconds_of(lambda: restore(settings, slices)))
        with TemporaryDirectory() as name:
            folder = Path(name)
            taken["to_disk"].append(seconds_of(partial(restore_to_disk, settings, slices, folder)))
            again = partial(restore_from_disk, settings, slices, folder)
            taken["from_disk"].append(seconds_of(again))
    found = {name: rates(arguments.users, megabytes, each) for name, each in taken.items()}
    print(json.dumps({"users": arguments.users, "megabytes": round(megabytes, 1), **found}))


if __name__ == "__main__":
    main()
