"""The changelog of the state: whether it is settled, and all of it, in slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Fatal
from metarec_stream.kafka.reading import OFFSETS_LIMIT_MS, records_until
from metarec_stream.kafka.rights import Right, advice
from metarec_stream.kafka.source import reading_options

POLL_MS = 50
MOST_RECORDS = 500


class Changelog:
    """Reads partitions of the state topic with consumers of its own, outside any group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topics.state
        self._committed: KafkaConsumer | None = None
        self._uncommitted: KafkaConsumer | None = None

    def connect(self) -> None:
        """Open the connections, which takes its time; raises KafkaError."""
        self._reader()
        self._watcher()

    def settled(self, partition: int) -> bool:
        """Whether no transaction is open on it: its committed end is its end. Raises Fatal."""
        place = TopicPartition(self._topic, partition)
        try:
            return self._end(self._reader(), place) == self._end(self._watcher(), place)
        except KafkaError as error:
            raise self._failed(partition, error) from error

    def read(self, partition: int, first: int) -> Iterator[Sequence[Record]]:
        """The records from an offset on, or from the first one that is kept after it, up to its
        committed end as of now, in slices that may be empty.

        Raises Fatal if the brokers hand out nothing for `kafka.connect_timeout_s`.
        """
        place = TopicPartition(self._topic, partition)
        try:
            yield from self._read(self._reader(), place, first)
        except (KafkaError, TimeoutError) as error:
            raise self._failed(partition, error) from error
        finally:
            self._reader().unsubscribe()

    def close(self) -> None:
        """Give the connections back."""
        for consumer in (self._committed, self._uncommitted):
            if consumer is not None:
                consumer.close()
        self._committed = self._uncommitted = None

    def _read(
        self, consumer: KafkaConsumer, place: TopicPartition, first: int
    ) -> Iterator[Sequence[Record]]:
        kept = int(consumer.beginning_offsets([place], OFFSETS_LIMIT_MS)[place])
        return records_until(
            consumer,
            place,
            max(first, kept),
            self._end(consumer, place),
            poll_ms=POLL_MS,
            most=MOST_RECORDS,
            patience_s=self._settings.kafka.connect_timeout_s,
        )

    def _reader(self) -> KafkaConsumer:
        if self._committed is None:
            options = {**reading_options(self._settings), "max_poll_records": MOST_RECORDS}
            self._committed = KafkaConsumer(**options, group_id=None)
        return self._committed

    def _watcher(self) -> KafkaConsumer:
        if self._uncommitted is None:
            options = {**reading_options(self._settings), "isolation_level": "read_uncommitted"}
            self._uncommitted = KafkaConsumer(**options, group_id=None)
        return self._uncommitted

    def _end(self, consumer: KafkaConsumer, place: TopicPartition) -> int:
        return int(consumer.end_offsets([place], OFFSETS_LIMIT_MS)[place])

    def _failed(self, partition: int, error: Exception) -> Fatal:
        asked = [Right("Read", "topic", self._topic)]
        return Fatal(
            f"reading {self._topic}/{partition} failed ({type(error).__name__}: {error}): "
            + advice(error, asked, "check the brokers, then start this process again")
        )
