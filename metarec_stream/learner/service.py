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
from metarec_stream.learner.cadence import Cadence
from metarec_stream.learner.checkpoint import CheckpointFolder, Checkpoints
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.place import ALONE, Place
from metarec_stream.learner.processes import Processes
from metarec_stream.learner.publish import Publisher
from metarec_stream.learner.receipts import Positioned, ReceiptReader
from metarec_stream.learner.start import built_in_version, identity_of
from metarec_stream.learner.tasks import TaskReader
from metarec_stream.learner.tracking import tracking_of
from metarec_stream.metrics import LearnerMetrics
from metarec_stream.state_folders import folder_of

logger = structlog.get_logger()


class LearnerService:
    """Connects, goes on where the learner was, and learns until it is stopped.

    That is the newest published version, and what the newest checkpoint knows beside it. place: of
    the learner's processes this is rank 0. Connecting raises Fatal if the brokers, topics or other
    processes cannot be had, the version does not fit, or a folder cannot be written.

    first: published as the first version, if the topic has none.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: LearnerMetrics,
        clock: Clock,
        place: Place = ALONE,
        first: MetaVersion | None = None,
    ) -> None:
        processes = Processes(settings.learn, place)
        partitions = ensure_topics(settings)
        self._metrics = metrics
        self._clock = clock
        self._cadence = Cadence(settings.learn.publish_every_s, clock)
        self._most_waiting = settings.learn.waiting
        self._publisher = Publisher(settings)
        self._checkpoints = _checkpoints(settings, metrics, clock)
        checkpoint = self._checkpoints.newest()
        self._tracking = tracking_of(settings, checkpoint.progress.events if checkpoint else 0)
        live = self._publisher.newest or built_in_version(settings)
        if first is not None and self._publisher.newest_number == 0:
            self._publish(first)
            live = first
        self._learner = Learner(
            settings,
            live,
            metrics,
            newest=self._publisher.newest_number,
            checkpoint=checkpoint,
            processes=processes,
            tracking=self._tracking,
        )
        self._receipts = ReceiptReader(settings)
        self._erase(self._receipts.catch_up())
        self._tasks = TaskReader(settings, partitions, self._learner.taken_offsets, metrics)
        metrics.published_version.set(live.version)
        logger.info(
            "learner_started",
            live_version=live.version,
            items=len(live.items),
            events_learned=self._learner.events,
            device=str(processes.device),
            processes=processes.place.size,
        )

    def run(self, stop: threading.Event, on_turn: Callable[[], None] = lambda: None) -> None:
        """Learn until stop is set, here or in another process; on_turn is called after each turn.

        Then a checkpoint is written, and the other processes end.
        """
        while not self._learner.turn(stop.is_set()):
            self._erase(self._receipts.poll())
            blocks = self._tasks.poll()
            self._learner.hurried = self._tasks.waiting > self._most_waiting
            for block, next_offset in blocks:
                self._take(block, next_offset)
                if stop.is_set():
                    break
            else:
                self._decide()
                self._checkpoints.write_if_due(self._learner.snapshot)
                on_turn()
        self._checkpoints.write(self._learner.snapshot)
        self._learner.end()

    def close(self) -> None:
        """Give the connections back."""
        self._tasks.close()
        self._receipts.close()
        self._publisher.close()
        self._tracking.close()

    def _take(self, block: TaskBlock, next_offset: int) -> None:
        try:
            self._learner.take(block, next_offset)
        except Degraded as refused:
            self._tasks.refuse(refused, next_offset)

    def _erase(self, receipts: list[Positioned]) -> None:
        """Users were erased: no checkpoint that holds events of theirs may stay."""
        if not receipts:
            return
        forgotten = self._learner.erase(receipts)
        logger.info("users_erased", receipts=len(receipts), events=forgotten)
        if forgotten:
            self._checkpoints.replace(self._learner.snapshot)

    def _decide(self) -> None:
        if not self._cadence.due(self._learner.reacting):
            return
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


def _checkpoints(settings: Settings, metrics: LearnerMetrics, clock: Clock) -> Checkpoints:
    every_s = settings.learn.checkpoint_every_s
    if not every_s:
        return Checkpoints(None, every_s, metrics, clock)
    folder = folder_of(settings.learn.checkpoint, "checkpoints", settings.application)
    return Checkpoints(CheckpointFolder(folder, identity_of(settings)), every_s, metrics, clock)
