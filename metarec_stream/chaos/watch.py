"""When answers came out, by partition, as a reader of committed records sees them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType
from typing import Self

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from metarec_stream.config import Settings
from metarec_stream.kafka.source import reading_options

_POLL_MS = 50

_log = structlog.get_logger()


class AnswerWatch:
    """Notes the time of arrival of answers on a thread of its own; a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._arrivals: dict[int, list[float]] = {
            number: [] for number in range(settings.topics.partitions)
        }
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)

    def longest_silence(self, partitions: frozenset[int], since: float) -> float | None:
        """Of any of these partitions, seconds; see `silence`. None if nothing came on any."""
        found = [silence(tuple(self._arrivals[number]), since) for number in sorted(partitions)]
        return max((each for each in found if each is not None), default=None)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        topic = self._settings.topics.recommendations
        with KafkaConsumer(**reading_options(self._settings), group_id=None) as consumer:
            consumer.assign([TopicPartition(topic, number) for number in self._arrivals])
            while not self._stopped.is_set():
                self._take(consumer)

    def _take(self, consumer: KafkaConsumer) -> None:
        try:
            taken = consumer.poll(timeout_ms=_POLL_MS)
        except KafkaError as error:
            _log.debug("answers_not_read", error=str(error))
            self._stopped.wait(_POLL_MS / 1e3)
            return
        now = time.monotonic()
        for place in taken:
            self._arrivals[place.partition].append(now)


def silence(arrivals: Sequence[float], since: float) -> float | None:
    """The longest time without an arrival between `since` and the last one, seconds.

    What comes after the last arrival is no silence: nothing was left to come. None if there is no
    arrival after `since`.
    """
    moments = [since, *(each for each in arrivals if each > since)]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    return max(gaps, default=None)
