"""The connection is cut between a commit and its answer: the committed offset says what holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest
from kafka import KafkaProducer
from prometheus_client import CollectorRegistry

from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.contract.transport import Ends, Output, Record
from metarec_stream.kafka import connection, sending, transaction
from metarec_stream.kafka.source import KafkaSource
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.kafka.transaction import KafkaTransaction
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.batch import Batches, Forgetful
from metarec_stream.pipeline.results import BatchResult
from tests.kafka.cutting_proxy import Cut, CuttingProxy
from tests.stream import no_observations
from tests.transport.backends import read_committed, wait_until


class Echo:
    """Answers each record with its value, and notes what it was given."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topics.recommendations
        self.seen: list[bytes | None] = []

    def process(self, records: Sequence[Record]) -> BatchResult:
        self.seen.extend(record.value for record in records)
        return BatchResult(
            outputs=[Output(self._topic, each.partition, b"k", each.value) for each in records],
            offsets={each.partition: each.offset + 1 for each in records},
            observations=no_observations(0),
        )


class Noting(Forgetful):
    """What became of each batch."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def keep(self, ends: Ends) -> None:
        self.ends.append("kept")

    def undo(self) -> None:
        self.ends.append("undone")


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[CuttingProxy]:
    """The producer alone goes through it, and gives up soon; a new one finds it mended."""
    with CuttingProxy() as cutting:

        def through(kafka: Any) -> dict[str, Any]:
            cutting.mend()
            return {**connection.client_options(kafka), "proxy_url": cutting.url}

        monkeypatch.setattr(sending, "client_options", through)
        monkeypatch.setattr(transaction, "MARGIN_S", 1.0)
        yield cutting


@pytest.mark.parametrize(
    ("cut", "ends"), [("the answer", ["kept"]), ("the request", ["undone", "kept"])]
)
def test_a_commit_without_an_answer_is_neither_lost_nor_done_twice(
    settings: Settings, proxy: CuttingProxy, cut: Cut, ends: list[str]
) -> None:
    """It went through: the batch is kept. It did not: all is undone and read again, and answered
    once.
    """
    quick = settings.kafka.model_copy(update={"transaction_timeout_ms": 1_000})
    settings = settings.model_copy(update={"kafka": quick})
    ensure_topics(settings)
    sender = KafkaProducer(**connection.client_options(quick))
    sender.send(settings.topics.interactions, key=b"k", value=b"one", partition=0).get(10)
    sender.close(timeout=5)
    echo, state = Echo(settings), Noting()
    with ExitStack() as parts:
        assigned: list[int] = []
        source = parts.enter_context(
            closing(KafkaSource(settings, lambda change: assigned.extend(change.partitions)))
        )
        wait_until(lambda: not source.poll(20, 9) and sorted(assigned) == [0, 1])
        sending = parts.enter_context(closing(KafkaTransaction(settings)))
        batches = Batches(
            source, sending, echo, state, settings, ConsumerMetrics(CollectorRegistry()),
            SystemClock(),
        )  # fmt: skip
        source.resume(0, 0)
        proxy.cut(cut)
        wait_until(lambda: batches.run(50) >= 0 and state.ends == ends)
        assert source.committed(0) == 1
    assert echo.seen == [b"one"] * len(ends)
    found = read_committed(settings, settings.topics.recommendations)
    assert [record.value for record in found] == [b"one"]


def test_a_commit_outlives_the_connection_that_it_was_meant_for(
    settings: Settings, proxy: CuttingProxy
) -> None:
    """Connections are lost before it, and refused for a while: it is sent when there is one."""
    ensure_topics(settings)
    with closing(KafkaTransaction(settings)) as sending:
        sending.begin()
        sending.send(Output(settings.topics.recommendations, 0, b"k", b"one"))
        sending._producer.flush()
        proxy.cut_now()
        mending = threading.Timer(0.5, proxy.mend)
        mending.start()
        sending.commit()
        mending.join()
    found = read_committed(settings, settings.topics.recommendations)
    assert [record.value for record in found] == [b"one"]
