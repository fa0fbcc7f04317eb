"""Rebuilding partitions: the input is read again up to the committed offsets, nothing published."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Place, Record
from metarec_stream.errors import Fatal
from metarec_stream.kafka.rights import Right, advice
from metarec_stream.kafka.source import reading_options

POLL_MS = 50
MOST_RECORDS = 2_000
"""Of one slice: the partitions that flow wait for it."""
OFFSETS_LIMIT_MS = 10_000
MOST_BUFFERED = 200_000
"""Records held back for the order of time; beyond, that order gives way."""
REPORT_EVERY_S = 5.0
_OTHERWISE = "check the brokers, then start this process again"

log = structlog.get_logger()


class TimeMerge:
    """Puts the records of several partitions roughly in the order of their timestamps.

    Within a partition the log's order always holds. Rough is enough: hard state depends on each
    partition alone, and soft state is approximate.
    """

    def __init__(self, partitions: Sequence[int], most_buffered: int = MOST_BUFFERED) -> None:
        self._most_buffered = most_buffered
        self._buffered: dict[int, list[tuple[int, Record]]] = {each: [] for each in partitions}
        self._newest = dict.fromkeys(partitions, 0)
        self._open = set(partitions)

    def add(self, record: Record) -> None:
        """Take in the next record of its partition."""
        partition = record.partition
        # The largest timestamp so far stands for an earlier one that comes late.
        self._newest[partition] = max(self._newest[partition], record.timestamp)
        self._buffered[partition].append((self._newest[partition], record))

    def finish(self, partition: int) -> None:
        """No more records come of this partition."""
        self._open.discard(partition)

    def release(self) -> list[Record]:
        """The records that no open partition can still be behind, in order."""
        horizon = min((self._newest[partition] for partition in self._open), default=None)
        if sum(map(len, self._buffered.values())) > self._most_buffered:
            horizon = None
        released: list[tuple[int, Record]] = []
        for partition, buffered in self._buffered.items():
            count = _up_to(buffered, horizon)
            released.extend(buffered[:count])
            self._buffered[partition] = buffered[count:]
        released.sort(key=lambda pair: pair[0])
        return [record for _, record in released]


class Replay:
    """Reads the input topic with a consumer of its own, outside the group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topics.interactions
        self._patience_s = settings.kafka.connect_timeout_s
        self._member: KafkaConsumer | None = None
        self._reader: KafkaConsumer | None = None

    def connect(self) -> None:
        """Open the connections, which takes its time; raises KafkaError."""
        self._asking()
        self._reading()

    def place(self, partition: int) -> Place:
        """Waits until the group's offset is stable. Raises Fatal."""
        place, patience_s = TopicPartition(self._topic, partition), self._patience_s
        try:
            asking = self._asking()
            committed = asking.committed(place, timeout_ms=patience_s * 1e3)
            first = asking.beginning_offsets([place], OFFSETS_LIMIT_MS)[place]
            end = asking.end_offsets([place], OFFSETS_LIMIT_MS)[place]
        except KafkaError as error:
            raise self._refused({partition: 0}, error) from error
        return Place(int(first), int(end), None if committed is None else int(committed))

    def close(self) -> None:
        """Give the connections back."""
        for consumer in (self._member, self._reader):
            if consumer is not None:
                consumer.close()
        self._member = self._reader = None

    def chunks(self, spans: Mapping[int, tuple[int, int]]) -> Iterator[list[Record]]:
        """The records from each partition's first offset to below its end, roughly in the order
        of time, in slices that may be empty.

        Raises Fatal if the brokers hand out nothing for `kafka.connect_timeout_s`.
        """
        spans = {number: span for number, span in spans.items() if span[0] < span[1]}
        if not spans:
            return
        until = {number: end for number, (_, end) in spans.items()}
        try:
            yield from self._read(self._reading(), spans, until)
        except KafkaError as error:
            raise self._refused(until, error) from error
        finally:
            self._reading().unsubscribe()

    def _asking(self) -> KafkaConsumer:
        """Knows the group's offsets, and is no member of it."""
        if self._member is None:
            options = {**reading_options(self._settings), "group_id": self._settings.kafka.group}
            self._member = KafkaConsumer(**options)
        return self._member

    def _reading(self) -> KafkaConsumer:
        if self._reader is None:
            self._reader = KafkaConsumer(**reading_options(self._settings), group_id=None)
        return self._reader

    def _read(
        self, consumer: KafkaConsumer, spans: Mapping[int, tuple[int, int]], until: dict[int, int]
    ) -> Iterator[list[Record]]:
        first = {number: begin for number, (begin, _) in spans.items()}
        consumer.assign([TopicPartition(self._topic, number) for number in sorted(spans)])
        for number, begin in first.items():
            consumer.seek(TopicPartition(self._topic, number), begin)
        progress = _Progress(self._topic, first, until)
        merge = TimeMerge(list(until))
        heard = time.monotonic()
        left = set(until)
        while left:
            taken = consumer.poll(timeout_ms=POLL_MS, max_records=MOST_RECORDS)
            for partition, records in taken.items():
                for record in records:
                    if record.offset < until[partition.partition]:
                        merge.add(record)
            moved = progress.note(self._positions(consumer, left))
            for number in sorted(left):
                if progress.positions[number] >= until[number]:
                    merge.finish(number)
                    left.discard(number)
            yield merge.release()
            heard = time.monotonic() if moved else heard
            if time.monotonic() - heard > self._patience_s:
                raise self._failed(until, "no record came")

    def _positions(self, consumer: KafkaConsumer, left: set[int]) -> dict[int, int]:
        """Positions pass transaction markers, where an offset of a record would stop before."""
        found = {
            number: consumer.position(
                TopicPartition(self._topic, number), timeout_ms=OFFSETS_LIMIT_MS
            )
            for number in left
        }
        return {number: int(position) for number, position in found.items() if position is not None}

    def _refused(self, until: Mapping[int, int], error: KafkaError) -> Fatal:
        what = advice(error, [Right("Read", "topic", self._topic)], _OTHERWISE)
        return self._failed(until, str(error) or type(error).__name__, what)

    def _failed(self, until: Mapping[int, int], why: str, what: str = _OTHERWISE) -> Fatal:
        where = ", ".join(f"{self._topic}/{partition} to {end}" for partition, end in until.items())
        return Fatal(f"replaying {where} failed ({why}): {what}")


class _Progress:
    """How far a replay has come, said in the log now and then."""

    def __init__(self, topic: str, first: dict[int, int], until: Mapping[int, int]) -> None:
        self.positions = dict(first)
        self._topic = topic
        self._until = until
        self._first = sum(first.values())
        self._said = time.monotonic()

    def note(self, positions: Mapping[int, int]) -> bool:
        """Take in new positions; returns whether any has moved."""
        moved = any(self.positions[number] != position for number, position in positions.items())
        self.positions.update(positions)
        if time.monotonic() - self._said > REPORT_EVERY_S:
            self._said = time.monotonic()
            done = sum(self.positions.values()) - self._first
            total = sum(self._until.values()) - self._first
            log.info("replaying", topic=self._topic, records=done, of=total)
        return moved


def _up_to(buffered: list[tuple[int, Record]], horizon: int | None) -> int:
    """How many of the records come up to a time; all if there is none."""
    if horizon is None or (buffered and buffered[-1][0] <= horizon):
        return len(buffered)
    low, high = 0, len(buffered)
    while low < high:
        middle = (low + high) // 2
        if buffered[middle][0] <= horizon:
            low = middle + 1
        else:
            high = middle
    return low
