"""Reads recommendations from Kafka as they are committed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import structlog
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from metarec_stream.contract.codec import content_type_of, decode_recommendation
from metarec_stream.contract.partitioner import partition_of
from metarec_stream.contract.recommendation import Recommendation
from metarec_stream.errors import Fatal, Rejected
from metarec_stream.kafka.connection import client_options, wait_for_brokers
from metarec_stream.kafka.rights import Right, advice
from metarec_stream.kafka.settings import KafkaSettings, TopicsSettings
from metarec_stream.kafka.topics import partition_counts

_log = structlog.get_logger()


class RecommendationSubscriber:
    """Iterates over recommendations for ever: those made from now on, or all that are kept.

    It belongs to no consumer group, so it takes nothing away from other readers. With `user` only
    that user's partition is read, and only their lists are handed out.
    """

    def __init__(
        self,
        kafka: KafkaSettings | str,
        *,
        topics: TopicsSettings | None = None,
        user: str | None = None,
        from_beginning: bool = False,
    ) -> None:
        """Connect to Kafka, given by settings or by its bootstrap servers alone.

        What is committed after this returns is read. Raises Fatal if the brokers or the topic are
        not there within `kafka.connect_timeout_s`.
        """
        self._kafka = KafkaSettings(bootstrap_servers=kafka) if isinstance(kafka, str) else kafka
        self._topic = (topics or TopicsSettings()).recommendations
        self._key = None if user is None else user.encode()
        self._closed = False
        wait_for_brokers(self._kafka)
        self._consumer: Any = KafkaConsumer(
            **client_options(self._kafka),
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest" if from_beginning else "latest",
            allow_auto_create_topics=False,
        )
        try:
            self._assign()
        except BaseException:
            self.close()
            raise

    def poll(self, timeout_s: float = 1.0) -> list[Recommendation]:
        """New recommendations in order within each partition; none after `timeout_s`.

        One that cannot be decoded is warned about and passed over. Raises Fatal if Kafka refuses.
        """
        try:
            batches = self._consumer.poll(timeout_ms=int(timeout_s * 1_000))
        except KafkaError as error:
            raise self._fatal(f"could not be read ({error!r}){self._what(error)}") from error
        found = []
        for record in (record for records in batches.values() for record in records):
            wanted = self._key is None or record.key == self._key
            if wanted and record.value is not None:
                found += self._decode(record)
        return found

    def __iter__(self) -> Iterator[Recommendation]:
        while not self._closed:
            yield from self.poll()

    def close(self) -> None:
        """Disconnect; a running iteration ends after its current poll."""
        self._closed = True
        self._consumer.close(autocommit=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _assign(self) -> None:
        count = self._partition_count()
        chosen = range(count) if self._key is None else [partition_of(self._key, count)]
        partitions = [TopicPartition(self._topic, number) for number in chosen]
        self._consumer.assign(partitions)
        for partition in partitions:
            # Resolves "latest" now, so that nothing made between here and the first poll is missed.
            self._consumer.position(partition)

    def _partition_count(self) -> int:
        deadline = time.monotonic() + self._kafka.connect_timeout_s
        try:
            # A consumer of the library takes a topic that it may not see for one that is not there.
            with KafkaAdminClient(**client_options(self._kafka)) as admin:
                while time.monotonic() < deadline:
                    if found := partition_counts(admin, [self._topic]).get(self._topic):
                        return found
                    time.sleep(0.2)
        except KafkaError as error:
            raise self._fatal(f"could not be looked up ({error!r}){self._what(error)}") from error
        raise self._fatal("does not exist: start `metarec serve`, or set topics.recommendations")

    def _decode(self, record: Any) -> list[Recommendation]:
        try:
            return [decode_recommendation(record.value, content_type_of(record.headers))]
        except Rejected as rejected:
            _log.warning(
                "recommendation_not_readable",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                reason=rejected.detail,
            )
            return []

    def _what(self, error: KafkaError) -> str:
        asked = [Right("Read", "topic", self._topic)]
        return f": {advice(error, asked, 'check the brokers, then start again')}"

    def _fatal(self, what: str) -> Fatal:
        return Fatal(f"topic {self._topic} at {self._kafka.bootstrap_servers} {what}")
