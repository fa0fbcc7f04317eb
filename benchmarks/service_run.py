"""What benchmarks of the running service share: settings of its own, and when it was how far."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from metarec_stream.client.producer import InteractionProducer
from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.datasets import online_retail
from metarec_stream.demo.environment import environment_of
from metarec_stream.demo.measurements import Reading, read_consumer
from metarec_stream.demo.processes import Subcommands, free_port
from metarec_stream.demo.topics import with_own_names
from metarec_stream.errors import Fatal
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.service.settings import HttpSettings

LIMIT_S = 600.0
"""Longest wait for anything."""
LOOK_EVERY_S = 0.05
WARM_UP = 2_000
"""Events taken before the clock starts: the first batches find cold caches."""


def own_settings(bootstrap_servers: str) -> Settings:
    """Settings with topics, group and ports of their own, on these brokers."""
    settings = with_own_names(Settings(), f"b{secrets.token_hex(3)}")
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": bootstrap_servers})
    http = HttpSettings(port=free_port(), learner_port=free_port())
    return settings.model_copy(update={"kafka": kafka, "http": http})


def reached(services: Subcommands, port: int, events: int) -> tuple[float, Reading]:
    """When the service had handled so many events, and what it then said.

    Raises Fatal if a process ended, or if it takes more than LIMIT_S.
    """
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        services.check(print)
        reading = read_consumer(port)
        if reading is not None and reading.handled >= events:
            return time.monotonic(), reading
        time.sleep(LOOK_EVERY_S)
    raise Fatal(f"{events} events were not handled within {LIMIT_S:.0f} s")


def post(settings: Settings, count: int) -> int:
    """Post the first interactions of Online Retail; how many there were."""
    ensure_topics(settings)
    posted = 0
    with InteractionProducer(settings.kafka, topics=settings.topics) as producer:
        for interaction in online_retail.interactions(SystemClock().now_ms(), count):
            producer.post(interaction)
            posted += 1
    return posted


def rate_of_service(settings: Settings, count: int, folder: Path) -> float:
    """Events a second by which one consumer works off a backlog, from its own counter."""
    posted = post(settings, count)
    services = Subcommands(folder)
    services.start(["serve"], environment_of(settings))
    try:
        begun, first = reached(services, settings.http.port, WARM_UP)
        ended, last = reached(services, settings.http.port, posted)
    finally:
        services.stop()
    return (last.handled - first.handled) / (ended - begun)
