"""Input that is faster than the process waits at the brokers; batches are as large as the load."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import pytest
from kafka import KafkaProducer
from prometheus_client import CollectorRegistry

from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.contract.transport import Output, Record
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.source import KafkaSource
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.kafka.transaction import KafkaTransaction
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.batch import Batches, Forgetful
from metarec_stream.pipeline.results import BatchResult
from tests.stream import no_observations
from tests.transport.backends import wait_until

RECORDS = 20_000
RECORD_BYTES = 2_000
FETCH_BYTES = 256 * 1024
CLIENT_BYTES = 2_000_000
"""More than the client takes beside records."""
MOST = 200
SLOWER = 10


class Publishing:
    """Publishes so many bytes for each record."""

    def __init__(self, settings: Settings, answer_bytes: int) -> None:
        self._topic = settings.topics.recommendations
        self._bytes = answer_bytes

    def process(self, records: Sequence[Record]) -> BatchResult:
        return BatchResult(
            outputs=[
                Output(self._topic, each.partition, b"k", random.randbytes(self._bytes))
                for each in records
            ],
            offsets={each.partition: each.offset + 1 for each in records},
            observations=no_observations(0),
        )


@pytest.fixture
def parts() -> Iterator[ExitStack]:
    """What a test opens is closed."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def bounded(settings: Settings) -> Settings:
    """Settings with topics that exist, small fetches, and batches smaller than a fetch."""
    settings = settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"fetch_bytes": FETCH_BYTES}),
            "batch": settings.batch.model_copy(update={"max_records": MOST}),
        }
    )
    ensure_topics(settings)
    return settings


def post(settings: Settings, count: int) -> None:
    """So many records to the two partitions by turns, none of which can be compressed."""
    producer = KafkaProducer(**client_options(settings.kafka), batch_size=32 * 1024, linger_ms=5)
    with closing(producer):
        for number in range(count):
            value = random.randbytes(RECORD_BYTES)
            producer.send(settings.topics.interactions, value, partition=number % 2)
        producer.flush()


def flowing(parts: ExitStack, settings: Settings) -> KafkaSource:
    """A member that owns both partitions, and reads them from the beginning."""
    source = parts.enter_context(closing(KafkaSource(settings, lambda _: None)))
    wait_until(lambda: not source.poll(20, 1) and len(source.owned) == 2)
    for partition in (0, 1):
        source.resume(partition, 0)
    return source


def batches(parts: ExitStack, settings: Settings, answer_bytes: int) -> Batches:
    """Whose batches lead to one record for each that they take."""
    return Batches(
        flowing(parts, settings),
        parts.enter_context(closing(KafkaTransaction(settings))),
        Publishing(settings, answer_bytes), Forgetful(), settings,
        ConsumerMetrics(CollectorRegistry()), SystemClock(),
    )  # fmt: skip


@contextmanager
def traced() -> Iterator[None]:
    """Count what Python allocates from here on."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def test_what_input_that_is_ten_times_too_fast_takes_is_bounded(
    bounded: Settings, parts: ExitStack
) -> None:
    """All of it is there; one record in ten is taken: what is held does not depend on how much
    there is, but on `kafka.fetch_bytes` alone: as received and taken apart, four times that of
    each partition.
    """
    source = flowing(parts, bounded)
    post(bounded, RECORDS)
    taken = 0
    with traced():
        while taken < RECORDS // SLOWER:
            taken += len(source.poll(50, SLOWER))
        _, most = tracemalloc.get_traced_memory()
    assert sum(source.lag().values()) > RECORDS * 3 // 4
    assert most < 2 * 5 * FETCH_BYTES + CLIENT_BYTES


def test_batches_are_full_under_load_and_of_one_record_when_idle(
    bounded: Settings, parts: ExitStack
) -> None:
    """No wait for a batch to fill, and none with less than there is."""
    roomy = bounded.kafka.model_copy(update={"fetch_bytes": 1024 * 1024})
    settings = bounded.model_copy(update={"kafka": roomy})
    taking = batches(parts, settings, 10)
    post(settings, 20 * MOST)
    sizes: list[int] = []
    while sum(sizes) < 20 * MOST:
        sizes.append(taking.run())
    assert max(sizes) == MOST
    assert sum(size == MOST for size in sizes) > len(sizes) // 2
    for _ in range(3):
        post(settings, 1)
        sizes = []
        while not sum(sizes):
            sizes.append(taking.run())
        assert sizes[-1] == 1


def test_large_recommendations_take_the_memory_of_one_batch(
    bounded: Settings, parts: ExitStack
) -> None:
    """What was published before is gone when the next batch is made."""
    answer_bytes, records = 100_000, 40
    few = bounded.model_copy(
        update={"batch": bounded.batch.model_copy(update={"max_records": records})}
    )
    taking = batches(parts, few, answer_bytes)
    post(few, 12 * records)
    taken = 0
    with traced():
        while taken < 12 * records:
            taken += taking.run()
        _, most = tracemalloc.get_traced_memory()
    assert most < 4 * records * answer_bytes
