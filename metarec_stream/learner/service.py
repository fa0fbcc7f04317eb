"""The learner's process: task blocks from Kafka in, meta versions to Kafka out."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from metarec_stream.clock import Clock
from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.task import TaskBlock
from metarec_stream.errors import Degraded
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.publish import Publisher
from metarec_stream.learner.start import built_in_version
from metarec_stream.learner.tasks import TaskReader
from metarec_stream.metrics import LearnerMetrics

logger = structlog.get_logger()


class LearnerService:
    """Connects, goes on from the newest published version, and learns until it is stopped.

    Connecting raises Fatal if the brokers or topics cannot be had or the version does not fit.
    """

    def __init__(self, settings: Settings, metrics: LearnerMetrics, clock: Clock) -> None:
        partitions = ensure_topics(settings)
        self._metrics = metrics
        self._clock = clock
        self._every_s = settings.learn.publish_every_s
        self._due = clock.monotonic() + self._every_s
        self._publisher = Publisher(settings)
        live = self._publisher.newest or built_in_version(settings)
        self._learner = Learner(settings, live, metrics, newest=self._publisher.newest_number)
        self._tasks = TaskReader(settings, partitions, live.task_offsets, metrics)
        metrics.published_version.set(live.version)
        logger.info("learner_started", live_version=live.version, items=len(live.items))

    def run(self, stop: threading.Event, on_turn: Callable[[], None] = lambda: None) -> None:
        """Learn until stop is set; on_turn is called after each turn of the loop."""
        while not stop.is_set():
            for block, next_offset in self._tasks.poll():
                self._take(block, next_offset)
                if stop.is_set():
                    return
            self._decide()
            on_turn()

    def close(self) -> None:
        """Give the connections back."""
        self._tasks.close()
        self._publisher.close()

    def _take(self, block: TaskBlock, next_offset: int) -> None:
        try:
            self._learner.take(block, next_offset)
        except Degraded as refused:
            self._tasks.refuse(refused, next_offset)

    def _decide(self) -> None:
        if self._clock.monotonic() < self._due:
            return
        self._due = self._clock.monotonic() + self._every_s
        version = self._learner.decide(self._clock.now_ms())
        if version is not None:
            self._publish(version)

    def _publish(self, version: MetaVersion) -> None:
        with self._metrics.publish_seconds.time():
            self._publisher.publish(version)
        self._metrics.published_version.set(version.version)
        logger.info(
            "meta_version_published",
            version=version.version,
            items=len(version.items),
            **{name: round(value, 6) for name, value in version.metrics.items()},
        )
