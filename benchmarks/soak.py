"""Resident memory of a consumer over a long stream with more users than fit in memory.

One consumer on a real broker; each event's user is drawn evenly from all, so that nearly every
touch is of a user on disk. Interactions are posted as fast as they are taken, never far ahead. The
first quarter is the warm-up; flat means that the other three, each summed up by its median, do not
climb. Figures go to DOCS/soak.json, and the curve to DOCS/soak.svg.

    .venv/bin/python -m benchmarks.soak --events 2000000 --users 100000 --hot 10000 --docs DOCS
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import psutil

from benchmarks.service_run import own_settings, reached
from metarec_stream.benchmark.plots import save_plot
from metarec_stream.client.producer import InteractionProducer
from metarec_stream.config import Settings
from metarec_stream.contract.interaction import Interaction
from metarec_stream.demo.environment import environment_of
from metarec_stream.demo.measurements import read_consumer
from metarec_stream.demo.processes import Subcommand, Subcommands
from metarec_stream.errors import Fatal
from metarec_stream.kafka.embedded import EmbeddedBroker
from metarec_stream.kafka.topics import ensure_topics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ITEMS = 5_000
AHEAD = 20_000
"""Most events that are posted and not taken yet."""
LOOK_EVERY_S = 2.0
QUARTERS = 4


class Look(NamedTuple):
    """The consumer at a moment."""

    seconds: float
    handled: int
    resident_mb: float


def interactions(events: int, users: int, seed: int) -> Iterator[Interaction]:
    """Of users drawn evenly, on items of a heavy tail."""
    random = np.random.default_rng(seed)
    for start in range(0, events, 10_000):
        count = min(10_000, events - start)
        of_users = random.integers(0, users, count).tolist()
        of_items = np.minimum(random.zipf(1.3, count), ITEMS).tolist()
        for user, item in zip(of_users, of_items, strict=True):
            yield Interaction(user=f"user-{user}", item=f"item-{item}")


def soaked(settings: Settings, service: Subcommand, events: int, users: int) -> list[Look]:
    """Post all, no faster than they are taken; a look every few seconds."""
    process = psutil.Process(service.child.pid)
    begun, looks, posted = time.monotonic(), [Look(0.0, 0, 0.0)], 0
    stream = interactions(events, users, seed=0)
    with InteractionProducer(settings.kafka, topics=settings.topics) as producer:
        while looks[-1].handled < events:
            until = time.monotonic() + LOOK_EVERY_S
            while time.monotonic() < until:
                if posted == events or posted - looks[-1].handled >= AHEAD:
                    time.sleep(LOOK_EVERY_S / 10)
                    looks[-1] = look(settings, service, process, begun)
                    continue
                producer.post(next(stream))
                posted += 1
            looks.append(look(settings, service, process, begun))
            print(f"{looks[-1].handled:,} events, {looks[-1].resident_mb:.0f} MB", file=sys.stderr)
    return looks


def look(settings: Settings, service: Subcommand, process: psutil.Process, begun: float) -> Look:
    """Raises Fatal if the process has ended."""
    if service.status is not None:
        raise Fatal("the consumer ended: " + "\n".join(service.tail()))
    reading = read_consumer(settings.http.port)
    handled = 0 if reading is None else reading.handled
    return Look(time.monotonic() - begun, handled, process.memory_info().rss / 2**20)


def summary(looks: Sequence[Look], events: int) -> dict[str, object]:
    """Medians by quarter of the stream, and by how much memory grew over the last three."""
    quarters: list[list[float]] = [[] for _ in range(QUARTERS)]
    for each in looks[1:]:
        quarters[min(QUARTERS * each.handled // events, QUARTERS - 1)].append(each.resident_mb)
    medians = [round(statistics.median(each), 1) for each in quarters]
    later = [each for each in looks if each.handled >= events / QUARTERS]
    slope = np.polyfit([each.handled / 1e6 for each in later], [each[2] for each in later], 1)[0]
    return {
        "events_per_second": round(looks[-1].handled / looks[-1].seconds),
        "resident_mb_by_quarter": medians,
        "mb_per_million_events_after_the_first_quarter": round(float(slope), 2),
        "most_resident_mb": round(max(each.resident_mb for each in looks), 1),
    }


def draw(looks: Sequence[Look], axes: Axes) -> None:
    """The curve of resident memory over events."""
    axes.plot([each.handled / 1e6 for each in looks[1:]], [each.resident_mb for each in looks[1:]])
    axes.set(xlabel="million events", ylabel="resident MB", ylim=(0, None))


def main() -> None:
    """Run it, print JSON, and write it with the curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--hot", type=int, default=10_000)
    parser.add_argument("--docs", type=Path, required=True)
    arguments = parser.parse_args()
    with (
        EmbeddedBroker(None, None, lambda line: print(line, file=sys.stderr)) as broker,
        tempfile.TemporaryDirectory() as folder,
    ):
        settings = own_settings(broker.bootstrap_servers)
        bounded = {"max_hot_users": arguments.hot, "folder": f"{folder}/users"}
        state = settings.state.model_copy(update=bounded)
        settings = settings.model_copy(update={"state": state})
        ensure_topics(settings)
        services = Subcommands(Path(folder))
        service = services.start(["serve"], environment_of(settings))
        try:
            reached(services, settings.http.port, 0)
            looks = soaked(settings, service, arguments.events, arguments.users)
        finally:
            services.stop()
    asked = {"events": arguments.events, "users": arguments.users, "hot_users": arguments.hot}
    found = {**asked, **summary(looks, arguments.events)}
    arguments.docs.mkdir(parents=True, exist_ok=True)
    (arguments.docs / "soak.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    save_plot(arguments.docs / "soak.svg", lambda axes: draw(looks, axes))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
