"""The two logs that the transport's contract is checked over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Headers, Output, Record, Source, Transaction
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.rebalance import Rebalance
from metarec_stream.kafka.source import KafkaSource, reading_options
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.kafka.transaction import KafkaTransaction
from metarec_stream.memory.log import MemoryLog
from metarec_stream.memory.source import MemorySource
from metarec_stream.memory.transaction import MemoryTransaction

LIMIT_S = 30.0


class Backend(Protocol):
    """One log with an input topic of two partitions, and who reads and writes it."""

    settings: Settings

    def post(
        self, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None: ...
    def source(self) -> Source:
        """A new member of the group, which gets all partitions; those before it have left."""
        ...

    def transaction(self) -> Transaction: ...
    def read(self, topic: str) -> list[Record]:
        """What a subscriber sees of it."""
        ...

    def committed(self) -> dict[int, int | None]: ...
    def close(self) -> None: ...


class MemoryBackend:
    """The in-memory log."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._log = MemoryLog(partitions=2)
        self._input = settings.topics.interactions
        self._group = settings.kafka.group

    def post(
        self, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None:
        self._log.append(Output(self._input, partition, key, value, tuple(headers)))

    def source(self) -> Source:
        return MemorySource(self._log, self._input, self._group)

    def transaction(self) -> Transaction:
        return MemoryTransaction(self._log, self._input)

    def read(self, topic: str) -> list[Record]:
        return list(self._log.records(topic))

    def committed(self) -> dict[int, int | None]:
        return {number: self._log.committed(self._group, self._input, number) for number in (0, 1)}

    def close(self) -> None:
        pass


class KafkaBackend:
    """The real broker; a new source takes the group over from the one before."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        ensure_topics(self.settings)
        self._input = settings.topics.interactions
        self._producer = KafkaProducer(**client_options(settings.kafka), acks="all")
        self._sources: list[KafkaSource] = []
        self._transactions: list[KafkaTransaction] = []

    def post(
        self, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None:
        self._producer.send(
            self._input, key=key, value=value, headers=list(headers), partition=partition
        ).get(timeout=LIMIT_S)

    def source(self) -> Source:
        while self._sources:
            self._sources.pop().close()

        def flow(change: Rebalance) -> None:
            for partition in change.partitions if change.kind == "assigned" else ():
                source.resume(partition, source.committed(partition) or 0)

        source = KafkaSource(self.settings, flow)
        self._sources.append(source)
        return source

    def transaction(self) -> Transaction:
        named = self.settings.model_copy(update={"instance_id": "one"})
        transaction = KafkaTransaction(named)
        self._transactions.append(transaction)
        return transaction

    def read(self, topic: str) -> list[Record]:
        return read_committed(self.settings, topic)

    def committed(self) -> dict[int, int | None]:
        with KafkaConsumer(
            **reading_options(self.settings), group_id=self.settings.kafka.group
        ) as consumer:
            return {
                number: consumer.committed(TopicPartition(self._input, number), timeout_ms=10_000)
                for number in (0, 1)
            }

    def close(self) -> None:
        for source in self._sources:
            source.close()
        for transaction in self._transactions:
            transaction.close()
        self._producer.close(timeout=5)


def wait_until(condition: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Return once the condition holds, or gives something; fail the test after the limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit_s} s in vain"
        time.sleep(0.02)


def read_committed(settings: Settings, topic: str, limit_s: float = LIMIT_S) -> list[Record]:
    """All records of a topic up to its end, as a subscriber sees them."""
    consumer = KafkaConsumer(**reading_options(settings), group_id=None)
    try:
        numbers = consumer.partitions_for_topic(topic)
        partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Record] = []
        deadline = time.monotonic() + limit_s
        while any(consumer.position(each) < ends[each] for each in partitions):
            assert time.monotonic() < deadline, f"{topic} could not be read to its end"
            for records in consumer.poll(timeout_ms=100).values():
                found.extend(records)
        return found
    finally:
        consumer.close()
