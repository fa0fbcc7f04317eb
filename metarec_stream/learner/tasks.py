"""The task blocks from Kafka: every partition of the tasks topic, outside any group."""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from metarec_stream.config import Settings
from metarec_stream.contract.task import TaskBlock
from metarec_stream.contract.task_codec import decode_task_block
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Degraded, Fatal
from metarec_stream.kafka.rights import Right, advice
from metarec_stream.kafka.source import reading_options
from metarec_stream.metrics import LearnerMetrics

_POLL_MS = 200
_MOST_RECORDS = 4
"""Records of a poll: one can be megabytes, and each is worth an outer step."""
_LAG_LIMIT_MS = 1_000
_LAG_EVERY_S = 1.0

logger = structlog.get_logger()


class TaskReader:
    """Reads on from the given offsets, from the beginning where none is given or it is gone."""

    def __init__(
        self,
        settings: Settings,
        partitions: int,
        offsets: Mapping[int, int],
        metrics: LearnerMetrics,
    ) -> None:
        self._topic = settings.topics.tasks
        self._metrics = metrics
        self._partitions = [TopicPartition(self._topic, number) for number in range(partitions)]
        self._lag_due = 0.0
        self.waiting = 0
        """Records that were not read yet, when that was last looked up."""
        self._consumer = KafkaConsumer(**reading_options(settings), group_id=None)
        self._consumer.assign(self._partitions)
        for partition in self._partitions:
            if partition.partition in offsets:
                self._consumer.seek(partition, offsets[partition.partition])
            else:
                self._consumer.seek_to_beginning(partition)

    def poll(self) -> list[tuple[TaskBlock, int]]:
        """New blocks, each with the offset after it; empty if none came in a moment.

        Blocks that cannot be read are counted and left out. Raises Fatal if polling fails.
        """
        try:
            taken = self._consumer.poll(timeout_ms=_POLL_MS, max_records=_MOST_RECORDS)
        except KafkaError as error:
            if not error.retriable:
                asked = [Right("Read", "topic", self._topic)]
                raise Fatal(
                    f"polling {self._topic} failed ({type(error).__name__}: {error}): "
                    + advice(error, asked, "check the brokers, then start again")
                ) from error
            taken = {}
        self._observe_lag()
        records = [record for batch in taken.values() for record in batch]
        return [block for record in records if (block := self._decode(record)) is not None]

    def refuse(self, refused: Degraded, next_offset: int) -> None:
        """Count and log a block that nothing can be learned from."""
        self._metrics.refused_blocks.inc()
        logger.warning(
            "task_block_refused",
            topic=self._topic,
            offset=next_offset - 1,
            reason=str(refused),
        )

    def close(self) -> None:
        """Give the connection back."""
        self._consumer.close()

    def _decode(self, record: Record) -> tuple[TaskBlock, int] | None:
        try:
            return decode_task_block(record.value), record.offset + 1
        except Degraded as refused:
            self.refuse(refused, record.offset + 1)
            return None

    def _observe_lag(self) -> None:
        if time.monotonic() < self._lag_due:
            return
        self._lag_due = time.monotonic() + _LAG_EVERY_S
        try:
            ends = self._consumer.end_offsets(self._partitions, timeout_ms=_LAG_LIMIT_MS)
            positions = {
                partition: self._consumer.position(partition, timeout_ms=_LAG_LIMIT_MS)
                for partition in self._partitions
            }
        except KafkaError as error:
            logger.warning("lag_unknown", topic=self._topic, error=str(error))
            return
        self.waiting = sum(max(0, ends[at] - (positions[at] or 0)) for at in self._partitions)
        self._metrics.lag.set(self.waiting)
