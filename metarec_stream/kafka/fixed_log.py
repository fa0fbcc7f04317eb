"""Topics from their first record that is kept to an end that is fixed once, read-committed.

For commands that look at the whole of a log while others write to it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Fatal
from metarec_stream.kafka.connection import client_options, wait_for_brokers
from metarec_stream.kafka.reading import OFFSETS_LIMIT_MS, records_until
from metarec_stream.kafka.rights import Right, advice
from metarec_stream.kafka.source import reading_options
from metarec_stream.kafka.topics import partition_counts

POLL_MS = 200
SETTLE_PAUSE_S = 0.05
MOST_RECORDS = 2_000


class FixedLog:
    """Reads outside any group; belongs to one thread. Every method raises Fatal if Kafka refuses.

    `rights`: what its owner has to be allowed; an error names the one that is missing.
    """

    def __init__(self, settings: Settings, topics: Sequence[str], rights: Iterable[Right]) -> None:
        """Connect, and look the topics up. Raises Fatal if one is missing."""
        self._settings = settings
        self._rights = [right for right in rights if right.operation != "Write"]
        self._spans: dict[TopicPartition, tuple[int, int]] = {}
        wait_for_brokers(settings.kafka)
        self._counts = self._look_up(topics)
        self._reader: KafkaConsumer | None = None

    @property
    def partitions(self) -> Mapping[str, int]:
        """How many partitions each topic has."""
        return self._counts

    def committed(self) -> dict[int, int | None]:
        """The group's committed offset by partition of the input; None if it has none."""
        topic = self._settings.topics.interactions
        options = {**reading_options(self._settings), "group_id": self._settings.kafka.group}
        with self._reading(topic), KafkaConsumer(**options) as member:
            found = {
                number: member.committed(TopicPartition(topic, number), timeout_ms=OFFSETS_LIMIT_MS)
                for number in range(self._counts[topic])
            }
        return {number: None if at is None else int(at) for number, at in found.items()}

    def fix(self, topic: str) -> None:
        """From now on the topic ends where its committed records end now."""
        places = self._places(topic)
        with self._reading(topic):
            reader = self._consumer()
            firsts = reader.beginning_offsets(places, OFFSETS_LIMIT_MS)
            ends = reader.end_offsets(places, OFFSETS_LIMIT_MS)
        for place in places:
            self._spans[place] = (int(firsts[place]), int(ends[place]))

    def settle(self, topic: str) -> None:
        """As `fix`, once every transaction that is open on the topic now has ended.

        Raises Fatal if that takes longer than `kafka.connect_timeout_s`.
        """
        places = self._places(topic)
        options = {**reading_options(self._settings), "isolation_level": "read_uncommitted"}
        with self._reading(topic), KafkaConsumer(**options, group_id=None) as watcher:
            written = watcher.end_offsets(places, OFFSETS_LIMIT_MS)
        deadline = time.monotonic() + self._settings.kafka.connect_timeout_s
        while True:
            self.fix(topic)
            held = [place for place in places if self._spans[place][1] < written[place]]
            if not held:
                return
            if time.monotonic() > deadline:
                raise Fatal(
                    f"a transaction has been open on {topic}/{held[0].partition} for "
                    f"{self._settings.kafka.connect_timeout_s:g} s, so that it cannot be read to "
                    "its end: see which producer holds it (kafka-transactions describe), end that, "
                    "and run this again"
                )
            time.sleep(SETTLE_PAUSE_S)

    def span(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset that is kept, and the one after the last, of a topic that is fixed."""
        return self._spans[TopicPartition(topic, partition)]

    def records(self, topic: str, partition: int, first: int = 0) -> Iterator[Record]:
        """The committed records of a partition from an offset on to its fixed end, in order."""
        place = TopicPartition(topic, partition)
        begin, end = self._spans[place]
        with self._reading(topic):
            for found in records_until(
                self._consumer(),
                place,
                max(begin, first),
                end,
                poll_ms=POLL_MS,
                most=MOST_RECORDS,
                patience_s=self._settings.kafka.connect_timeout_s,
            ):
                yield from found

    def close(self) -> None:
        """Disconnect."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _consumer(self) -> KafkaConsumer:
        if self._reader is None:
            options = {**reading_options(self._settings), "max_poll_records": MOST_RECORDS}
            self._reader = KafkaConsumer(**options, group_id=None)
        return self._reader

    def _places(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(self._counts[topic])]

    def _look_up(self, topics: Sequence[str]) -> dict[str, int]:
        with (
            self._reading(topics[0]),
            KafkaAdminClient(**client_options(self._settings.kafka)) as admin,
        ):
            counts = partition_counts(admin, topics)
        missing = [topic for topic in topics if topic not in counts]
        if missing:
            raise Fatal(
                f"topic {missing[0]} does not exist on {self._settings.kafka.bootstrap_servers}: "
                "start `metarec serve` once, or correct its name under METAREC_TOPICS__"
            )
        return counts

    @contextmanager
    def _reading(self, topic: str) -> Iterator[None]:
        """Errors of the library in it come out as Fatal."""
        try:
            yield
        except (KafkaError, TimeoutError) as error:
            raise self._failed(topic, error) from error

    def _failed(self, topic: str, error: Exception) -> Fatal:
        otherwise = "check the brokers, then run this again"
        return Fatal(
            f"reading {topic} failed ({type(error).__name__}: {error}): "
            + advice(error, self._rights, otherwise)
        )
