"""`metarec broker`: an embedded Apache Kafka until it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.kafka.embedded import EmbeddedBroker
from metarec_stream.kafka.topics import ensure_topics

_LOOK_EVERY_S = 1.0


def broker(
    *,
    data_dir: Path | None = None,
    port: Annotated[int, Parameter(validator=Number(gte=1, lte=65_535))] = 9092,
    settings: Annotated[Settings, Parameter(parse=False)],
) -> int:
    """Run an embedded Apache Kafka: one node, from packages alone.

    Parameters
    ----------
    data_dir
        Folder that keeps the records over restarts; a temporary one, removed at the end, if absent.
    port
        Port on the loopback address.
    """
    with _terminated_like_interrupted():
        try:
            with EmbeddedBroker(data_dir, port, _tell) as embedded:
                _announce(embedded, settings)
                _watch(embedded)
        except KeyboardInterrupt:
            _tell("stopped")
    return 0


def _announce(embedded: EmbeddedBroker, settings: Settings) -> None:
    """Create the topics, and say how to reach and how to stop the broker."""
    servers = embedded.bootstrap_servers
    partitions = ensure_topics(_settings_here(settings, servers))
    print(f"Kafka is ready. Bootstrap server: {servers}")
    print(f"For other programs: METAREC_KAFKA__BOOTSTRAP_SERVERS={servers}")
    print(f"Post to topic {settings.topics.interactions} ({partitions} partitions).")
    print(f"Stop it with Ctrl-C, or SIGTERM to process {os.getpid()}.", flush=True)


def _settings_here(settings: Settings, servers: str) -> Settings:
    """The settings as they apply to one node without security, whatever the others' brokers are."""
    kafka = {"bootstrap_servers": servers, "security_protocol": "PLAINTEXT"}
    topics = {"create": True, "replication_factor": 1}
    return settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update=kafka),
            "topics": settings.topics.model_copy(update=topics),
        }
    )


def _watch(embedded: EmbeddedBroker) -> None:
    """Return never: ends by KeyboardInterrupt, or Fatal if the broker ends by itself."""
    while embedded.is_running():
        time.sleep(_LOOK_EVERY_S)
    raise Fatal(f"The embedded Kafka ended by itself: {embedded.last_errors()} Start it again.")


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM and SIGINT both raise KeyboardInterrupt, also where a shell had SIGINT ignored."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _tell(line: str) -> None:
    print(f"metarec broker: {line}", file=sys.stderr, flush=True)
