"""The embedded broker on a port and a data folder of its own, so that it can be killed and back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from metarec_stream.kafka.distribution import locked_jars
from metarec_stream.kafka.embedded import EmbeddedBroker

_BROKER_JAR = "org.apache.kafka:kafka_2.13:"


class KillableBroker:
    """Keeps its records over a kill; a context manager."""

    def __init__(self, folder: Path, progress: Callable[[str], None]) -> None:
        """Start it; `folder` is its data folder. Raises Fatal if it does not start."""
        self._folder = folder
        self._progress = progress
        self._broker = EmbeddedBroker(folder, None, progress)
        self.bootstrap_servers = self._broker.bootstrap_servers

    def kill(self) -> None:
        """End it by SIGKILL, and wait until it is gone."""
        pid = self._broker.process_id
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        self._broker.stop()

    def start_again(self) -> None:
        """Start it with the same records at the same address. Raises Fatal if it does not start."""
        port = int(self.bootstrap_servers.rpartition(":")[2])
        self._broker = EmbeddedBroker(self._folder, port, self._progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Its records go with the folder: an orderly end would only take time.
        self.kill()


def broker_version() -> str:
    """The release of Apache Kafka that is embedded."""
    found = (jar.coordinate for jar in locked_jars())
    return next(
        (each.removeprefix(_BROKER_JAR) for each in found if each.startswith(_BROKER_JAR)),
        "unknown",
    )
