"""A log whose ends stand still, on the real broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import KafkaProducer

from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.fixed_log import FixedLog
from metarec_stream.kafka.topics import ensure_topics


@pytest.fixture
def producer(settings: Settings, unique: str) -> Iterator[KafkaProducer]:
    """A transactional one, whose topics exist."""
    ensure_topics(settings)
    made = KafkaProducer(
        **client_options(settings.kafka), transactional_id=unique, retry_backoff_ms=5
    )
    made.init_transactions()
    with closing(made):
        yield made


def send(producer: KafkaProducer, topic: str, *values: bytes) -> None:
    """To partition 0, in the open transaction."""
    for value in values:
        producer.send(topic, key=b"k", value=value, partition=0)
    producer.flush()


def values(log: FixedLog, topic: str, first: int = 0) -> list[bytes | None]:
    """Of partition 0 as it is fixed."""
    return [record.value for record in log.records(topic, 0, first)]


def test_what_comes_after_the_end_was_fixed_is_not_read(
    settings: Settings, producer: KafkaProducer
) -> None:
    """Nor what was aborted; and reading ends although the last offset is a marker."""
    topic = settings.topics.tasks
    producer.begin_transaction()
    send(producer, topic, b"1", b"2")
    producer.commit_transaction()
    producer.begin_transaction()
    send(producer, topic, b"aborted")
    producer.abort_transaction()
    with closing(FixedLog(settings, [topic], [])) as log:
        log.settle(topic)
        producer.begin_transaction()
        send(producer, topic, b"3")
        producer.commit_transaction()
        assert values(log, topic) == [b"1", b"2"]
        assert values(log, topic, first=1) == [b"2"]
        assert log.span(topic, 0) == (0, 5)
        assert log.span(topic, 1) == (0, 0)
        log.settle(topic)
        assert values(log, topic) == [b"1", b"2", b"3"]


def test_it_waits_for_a_transaction_that_is_open(
    settings: Settings, producer: KafkaProducer
) -> None:
    """What it commits is read."""
    topic = settings.topics.tasks
    producer.begin_transaction()
    send(producer, topic, b"1")
    with closing(FixedLog(settings, [topic], [])) as log:
        log.fix(topic)
        assert values(log, topic) == []
        commit = threading.Timer(0.3, producer.commit_transaction)
        commit.start()
        log.settle(topic)
        commit.join()
        assert values(log, topic) == [b"1"]


def test_a_transaction_that_stays_open_is_fatal(
    settings: Settings, producer: KafkaProducer
) -> None:
    """It names the partition and how to find who holds it."""
    topic = settings.topics.tasks
    producer.begin_transaction()
    send(producer, topic, b"1")
    kafka = settings.kafka.model_copy(update={"connect_timeout_s": 0.5})
    impatient = settings.model_copy(update={"kafka": kafka})
    with (
        closing(FixedLog(impatient, [topic], [])) as log,
        pytest.raises(Fatal, match=rf"open on {topic}/0 for 0\.5 s, .*kafka-transactions describe"),
    ):
        log.settle(topic)
    producer.abort_transaction()


def test_a_group_without_offsets_has_none(settings: Settings, producer: KafkaProducer) -> None:
    """Nobody ever committed one."""
    with closing(FixedLog(settings, [settings.topics.interactions], [])) as log:
        assert log.committed() == {0: None, 1: None}
