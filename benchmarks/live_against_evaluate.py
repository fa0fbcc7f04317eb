"""The live service's ranking quality beside `metarec evaluate` on the same events.

Online Retail is posted at a steady rate to a service with one consumer and one learner; the
consumer's own prequential metrics are read over the second half of the events. Then the same events
are replayed without Kafka, with the outer loop heard at the cadence that was seen live, and every
256 events.

    .venv/bin/python -m benchmarks.live_against_evaluate --events 60000 --rate 1000
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.service_run import LIMIT_S, LOOK_EVERY_S, own_settings, reached
from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.contract.interaction import Interaction
from metarec_stream.datasets import online_retail
from metarec_stream.demo.environment import environment_of
from metarec_stream.demo.measurements import Reading, not_ready
from metarec_stream.demo.processes import Subcommands
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.metrics import report
from metarec_stream.evaluate.models import DEFAULT, Evaluation, run_model
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import stream_of
from metarec_stream.kafka.embedded import EmbeddedBroker
from metarec_stream.kafka.topics import ensure_topics

SERVED = "model"
"""The recommender's name in the service's prequential metrics."""


@dataclass(frozen=True)
class Live:
    """What was seen of the service over the second half of the events."""

    mrr: float
    hit_rate: float
    ranked_share: float
    """Of the events, those that were ranked before they were learned."""
    events_per_second: float
    events_per_version: float


def live(settings: Settings, events: int, rate: int, folder: Path) -> Live:
    """Run the service on the events."""
    ensure_topics(settings)
    services = Subcommands(folder)
    environment = {**environment_of(settings), "XDG_STATE_HOME": str(folder)}
    try:
        for name in ("serve", "learn"):
            services.start([name], environment)
        _wait_until_ready(services, settings)
        services.start(
            ["produce", "online-retail", "--limit", str(events), "--rate", f"{rate}/s"], environment
        )
        begun, middle = reached(services, settings.http.port, events // 2)
        ended, last = reached(services, settings.http.port, events)
    finally:
        services.stop()
    return _between(middle, last, ended - begun)


def _wait_until_ready(services: Subcommands, settings: Settings) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not_ready(settings.http.port) or not_ready(settings.http.learner_port):
        services.check(print)
        if time.monotonic() > deadline:
            raise Fatal(f"the service was not ready within {LIMIT_S:.0f} s; see its log")
        time.sleep(LOOK_EVERY_S)


def _between(first: Reading, last: Reading, seconds: float) -> Live:
    ranked = last.ranked - first.ranked
    handled = last.handled - first.handled
    one, two = first.quality[SERVED], last.quality[SERVED]
    return Live(
        mrr=(two.mrr * last.ranked - one.mrr * first.ranked) / ranked,
        hit_rate=(two.hit_rate * last.ranked - one.hit_rate * first.ranked) / ranked,
        ranked_share=ranked / handled,
        events_per_second=handled / seconds,
        events_per_version=handled / max(1, last.meta_version - first.meta_version),
    )


def table_of(interactions: Sequence[Interaction]) -> EventTable:
    """The same events as `evaluate` takes them."""
    return EventTable(
        user=[each.user for each in interactions],
        item=[each.item for each in interactions],
        ts=np.array([each.ts for each in interactions], np.int64),
        type=[each.type for each in interactions],
    )


def replayed(table: EventTable, outer_every: int) -> dict[str, object]:
    """MRR and HR@10 over the second half, without Kafka."""
    settings, protocol = Settings(), Protocol(score_from=0.5)
    stream = stream_of(table, settings.events.table())
    evaluation = Evaluation(table, protocol, settings, outer_every)
    found = report(run_model(DEFAULT, evaluation, stream, lambda *_: None), stream, protocol)
    return {"outer_every": outer_every, "mrr": found["mrr"], "hit_rate": found["hr@10"]}


def main() -> None:
    """Run the service, then the replays, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--rate", type=int, default=1_000)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedBroker(None, None, lambda line: print(line, file=sys.stderr)) as broker,
    ):
        seen = live(
            own_settings(broker.bootstrap_servers), arguments.events, arguments.rate, Path(folder)
        )
    print(seen, file=sys.stderr)
    table = table_of(list(online_retail.interactions(SystemClock().now_ms(), arguments.events)))
    cadence = max(256, round(seen.events_per_version))
    replays = [replayed(table, every) for every in dict.fromkeys((cadence, 256))]
    print(json.dumps({"live": vars(seen), "evaluate": replays}, indent=2))


if __name__ == "__main__":
    main()
