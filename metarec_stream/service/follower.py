"""A thread that reads a small topic of one partition from its beginning, and goes on reading."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Fatal
from metarec_stream.kafka.rights import Right, advice
from metarec_stream.kafka.source import reading_options

POLL_MS = 200
END_LIMIT_MS = 10_000

log = structlog.get_logger()


class TopicFollower:
    """Hands the records of partition 0 to `handle`, on its own thread, in order.

    `caught_up` is set once everything has been handled that was there at the start. What ends
    the thread is raised by `check`, which the main loop calls.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        handle: Callable[[Sequence[Record]], None],
        on_caught_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.caught_up = threading.Event()
        self.stopped = threading.Event()
        self._settings = settings
        self._partition = TopicPartition(topic, 0)
        self._handle = handle
        self._on_caught_up = on_caught_up
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"follow-{topic}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def check(self) -> None:
        """Raise Fatal if the thread has ended by itself."""
        if self._failure is not None:
            failure = self._failure
            asked = [Right("Read", "topic", self._partition.topic)]
            raise Fatal(
                f"reading {self._partition.topic} ended ({type(failure).__name__}: {failure}): "
                + advice(failure, asked, "check the brokers, then start again")
            ) from failure

    def close(self) -> None:
        self.stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        try:
            self._follow()
        except Exception as error:  # noqa: BLE001 - raised on the main thread, by check()
            log.error("follower_ended", topic=self._partition.topic, error=str(error))
            self._failure = error

    def _follow(self) -> None:
        consumer = KafkaConsumer(**reading_options(self._settings), group_id=None)
        try:
            consumer.assign([self._partition])
            consumer.seek_to_beginning(self._partition)
            end = self._end(consumer)
            while not self.stopped.is_set():
                taken = _poll(consumer)
                if taken:
                    self._handle(taken)
                if not self.caught_up.is_set() and self._position(consumer) >= end:
                    self._on_caught_up()
                    self.caught_up.set()
        finally:
            consumer.close()

    def _end(self, consumer: KafkaConsumer) -> int:
        return int(consumer.end_offsets([self._partition], END_LIMIT_MS)[self._partition])

    def _position(self, consumer: KafkaConsumer) -> int:
        position = consumer.position(self._partition, timeout_ms=END_LIMIT_MS)
        return 0 if position is None else int(position)


def _poll(consumer: KafkaConsumer) -> Sequence[Record]:
    try:
        taken = consumer.poll(timeout_ms=POLL_MS)
    except KafkaError as error:
        if not error.retriable:
            raise
        time.sleep(POLL_MS / 1e3)
        return []
    return [record for records in taken.values() for record in records]
