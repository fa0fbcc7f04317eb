"""`metarec learn`: the outer loop, from logged tasks to meta versions."""

from __future__ import annotations

import signal
import threading
from contextlib import closing
from types import FrameType
from typing import Annotated, Self

import structlog
from cyclopts import Parameter
from prometheus_client import CollectorRegistry

from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.metrics import LearnerMetrics
from metarec_stream.service.health import HealthServer, Readiness

logger = structlog.get_logger()


def learn(*, settings: Annotated[Settings, Parameter(parse=False)]) -> int:
    """Run the outer loop on logged tasks and publish meta versions, until SIGINT or SIGTERM."""
    registry = CollectorRegistry()
    metrics = LearnerMetrics(registry)
    readiness = Readiness(learner="starting: loading torch, waiting for brokers and topics")
    http = settings.http
    with _Signals() as signals:
        try:
            with HealthServer(http.host, http.learner_port, registry, readiness):
                _learn(settings, metrics, readiness, signals)
        except KeyboardInterrupt:
            logger.info("learner_interrupted")
    logger.info("learner_stopped")
    return 0


def _learn(
    settings: Settings, metrics: LearnerMetrics, readiness: Readiness, signals: _Signals
) -> None:
    # Torch takes seconds to import: by now the health of the process can be asked for.
    from metarec_stream.learner.service import LearnerService

    with closing(LearnerService(settings, metrics, SystemClock())) as service:
        signals.looping.set()
        service.run(signals.stop, on_turn=lambda: readiness.done("learner"))


class _Signals:
    """SIGINT and SIGTERM: once the loop runs, the first sets `stop`; any other interrupts.

    So a start that waits for brokers ends at once, and a loop ends between two steps.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.looping = threading.Event()

    def __enter__(self) -> Self:
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = [(number, signal.signal(number, self._handle)) for number in numbers]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.stop.is_set() or not self.looping.is_set():
            raise KeyboardInterrupt
        self.stop.set()
