"""The consumer and the learner over the in-memory log, in one thread: a batch, then its tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry

from metarec_stream.clock import ManualClock
from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.task_codec import decode_task_block
from metarec_stream.contract.transport import Output, Record
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.start import built_in_version
from metarec_stream.memory.log import MemoryLog
from metarec_stream.memory.source import MemorySource
from metarec_stream.memory.transaction import MemoryTransaction
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.batch import run_batch
from metarec_stream.pipeline.recommender import RankProtocol, Recommender
from metarec_stream.pipeline.results import BatchResult
from metarec_stream.pipeline.seen import SeenItems

PARTITION = 0

OnVersion = Callable[[int, MetaVersion], None]


class Replay:
    """One partition, one consumer, one learner that is asked for a version after every batch.

    on_version: told of each published version, and the input offset from which it ranks.
    """

    def __init__(
        self,
        settings: Settings,
        rank_protocol: RankProtocol,
        seen: SeenItems | None = None,
        on_version: OnVersion | None = None,
    ) -> None:
        topics = settings.topics
        self.log = MemoryLog()
        self._settings = settings
        self._clock = ManualClock()
        self._metrics = ConsumerMetrics(CollectorRegistry())
        self._source = MemorySource(self.log, topics.interactions)
        self._transaction = MemoryTransaction(self.log, topics.interactions)
        self.recommender = Recommender(
            settings, self._metrics, self._clock, seen=seen, protocol=rank_protocol
        )
        self.recommender.assign(PARTITION)
        self._processor = _Keeping(self.recommender)
        self._learner = Learner(settings, built_in_version(settings))
        self._on_version = on_version

    def step(self, events: Sequence[tuple[Output, int]]) -> BatchResult:
        """Post events with their record timestamps, take them in one batch, and learn from it.

        At most `batch.max_records` events. What the batch sent stays in the log until the next one.
        """
        result = self.take(events)
        self._learn()
        return result

    def take(self, events: Sequence[tuple[Output, int]]) -> BatchResult:
        """The same where the outer loop has stopped: it never hears of these events."""
        for topic in self._settings.topics.partitioned():
            self.log.drop_before(topic, PARTITION, self.log.end(topic, PARTITION))
        for output, timestamp in events:
            self.log.append(output, timestamp)
        self._clock.advance(events[-1][1] - self._clock.now_ms())
        run_batch(
            self._source,
            self._transaction,
            self._processor,
            self._settings,
            self._metrics,
            self._clock,
        )
        return self._processor.result

    def _learn(self) -> None:
        for record in self.log.read(self._settings.topics.tasks, PARTITION, 0):
            self._learner.take(decode_task_block(record.value), record.offset + 1)
        version = self._learner.decide(self._clock.now_ms())
        if version is None:
            return
        self.recommender.swap(self.recommender.prepare(version))
        if self._on_version:
            self._on_version(self.log.end(self._settings.topics.interactions, PARTITION), version)


class _Keeping:
    """A recommender whose last result can be looked at after the batch."""

    result: BatchResult

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    def process(self, records: Sequence[Record]) -> BatchResult:
        self.result = self._recommender.process(records)
        return self.result
