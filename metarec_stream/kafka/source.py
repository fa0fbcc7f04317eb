"""The input's consumer over Kafka: one member of the group, records as they came, bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import AuthorizationError, IllegalStateError, KafkaError, KafkaTimeoutError
from kafka.structs import MemberState

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Aborted, Record
from metarec_stream.errors import Fatal
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.header_names import read_any_header_name
from metarec_stream.kafka.joining import PatientJoin
from metarec_stream.kafka.rebalance import Rebalance, RebalanceNotes
from metarec_stream.kafka.rights import Right, advice
from metarec_stream.kafka.watchdog import GroupWatchdog

END_OFFSETS_LIMIT_MS = 1_000
JOIN_POLL_MS = 5
"""How long a poll waits for the group while there are records to be had."""


def reading_options(settings: Settings) -> dict[str, Any]:
    """What every consumer of ours sets: the library's defaults for these lose or repeat records.

    Every one reads records with header names that are not UTF-8, too.
    """
    read_any_header_name()
    return {
        **client_options(settings.kafka),
        "isolation_level": "read_committed",
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "max_poll_records": settings.batch.max_records,
        "max_partition_fetch_bytes": settings.kafka.fetch_bytes,
    }


class KafkaSource:
    """The partitions of the input topic that the group gives to this member.

    Rebalances are handed to `on_rebalance` on the thread that polls, before the records of that
    poll. A partition that is assigned is held back until `resume` is called for it. Those that flow
    go on while the group waits for its other members. Raises Fatal when polling fails, the brokers
    stay away, or the member never settles.
    """

    def __init__(
        self,
        settings: Settings,
        on_rebalance: Callable[[Rebalance], None],
        transactional_id: str | None = None,
    ) -> None:
        """`transactional_id`: of this process's producer; the group's other members know by it that
        the process is alive.
        """
        self._topic = settings.topics.interactions
        self._settings = settings.kafka
        self._on_rebalance = on_rebalance
        self._notes = RebalanceNotes(self._hold)
        self._owned: set[int] = set()
        self._held: set[int] = set()
        self._lag: dict[int, int] = {}
        self._settled = False
        self._heard = time.monotonic()
        patience_s = (settings.kafka.max_poll_interval_ms + settings.kafka.session_timeout_ms) / 1e3
        self._watchdog = GroupWatchdog(settings.kafka.group, patience_s)
        self._consumer = KafkaConsumer(
            **reading_options(settings),
            client_id=transactional_id or settings.application,
            group_id=settings.kafka.group,
            group_instance_id=settings.instance_id,
            partition_assignment_strategy=[CooperativeStickyAssignor],
            session_timeout_ms=settings.kafka.session_timeout_ms,
            heartbeat_interval_ms=settings.kafka.heartbeat_interval_ms,
            max_poll_interval_ms=settings.kafka.max_poll_interval_ms,
        )
        self._join = PatientJoin(self._consumer._coordinator)
        self._consumer.subscribe([self._topic], listener=self._notes)

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that are ours, as of the last poll."""
        return frozenset(self._owned)

    @property
    def settled(self) -> bool:
        """Whether the group had given this member its share at the last poll, be it none."""
        return self._settled

    def poll(self, timeout_ms: int, max_records: int) -> Sequence[Record]:
        taken = self._poll(timeout_ms, max_records)
        for change in self._notes.drain():
            self._take_note(change)
        self._watchdog.observe(self.settled, time.monotonic(), time.process_time())
        return [
            record
            for partition, records in taken.items()
            if self.owns(partition.partition)
            for record in records
        ]

    def group_metadata(self) -> object:
        # Nothing but falling out of the group takes partitions away between two polls: the answer
        # to a join is taken by a poll, and what it revokes goes to nobody before the join after it.
        metadata = self._consumer.group_metadata()
        if not metadata.member_id or metadata.generation_id < 0:
            # The broker takes offsets of a bare group id from anyone: they would not be fenced.
            raise Aborted(
                f"this process fell out of the group {self._settings.group} while it had records "
                f"of {self._topic} in hand; if it comes back raise kafka.session_timeout_ms or "
                "kafka.max_poll_interval_ms"
            )
        return metadata

    def owns(self, partition: int) -> bool:
        return partition in self._owned and partition not in self._held

    def resume(self, partition: int, offset: int) -> None:
        """Let the records of an assigned partition flow, from this offset on."""
        place = TopicPartition(self._topic, partition)
        self._held.discard(partition)
        if place in self._consumer.assignment():
            self._consumer.seek(place, offset)
            self._consumer.resume(place)

    def rewind(self, firsts: Mapping[int, int]) -> None:
        for partition, first in firsts.items():
            place = TopicPartition(self._topic, partition)
            if self.owns(partition) and place in self._consumer.assignment():
                committed = self.committed(partition)
                self._consumer.seek(place, first if committed is None else committed)

    def lag(self) -> Mapping[int, int]:
        """As the contract says; asks the broker, so call it about once a second.

        While the brokers do not answer it is the last known one, for `kafka.connect_timeout_s`.
        """
        flowing = sorted(self._owned - self._held)
        partitions = [TopicPartition(self._topic, number) for number in flowing]
        # A member without partitions asks too: the answer is its only sign that the brokers live.
        asked = partitions or [TopicPartition(self._topic, 0)]
        try:
            ends = self._consumer.end_offsets(asked, timeout_ms=END_OFFSETS_LIMIT_MS)
            self._heard = time.monotonic()
            self._lag = {
                partition.partition: max(0, ends[partition] - position)
                for partition in partitions
                if (position := self._position(partition)) is not None
            }
        except KafkaError as error:
            self._still_away(error)
        return self._lag

    def committed(self, partition: int) -> int | None:
        """The group's committed offset once it is stable; None if it never committed one."""
        limit_s = self._settings.connect_timeout_s
        try:
            offset = self._consumer.committed(
                TopicPartition(self._topic, partition), timeout_ms=limit_s * 1e3
            )
        except KafkaTimeoutError as error:
            raise self._no_committed(
                partition, error, self._what_holds_offsets(partition)
            ) from error
        except KafkaError as error:
            asked = [Right("Read", "group", self._settings.group)]
            otherwise = "check the brokers and start this process again"
            raise self._no_committed(partition, error, advice(error, asked, otherwise)) from error
        return None if offset is None else int(offset)

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit the group's offsets outside any transaction; raises Aborted if they are stale."""
        if not offsets:
            return
        wanted = {
            TopicPartition(self._topic, number): OffsetAndMetadata(offset, "", -1)
            for number, offset in offsets.items()
        }
        try:
            self._consumer.commit(wanted, timeout_ms=self._settings.session_timeout_ms)
        except KafkaError as error:
            said = f"committing {dict(offsets)}: {type(error).__name__}: {error}"
            if isinstance(error, AuthorizationError):
                asked = [Right("Read", "group", self._settings.group)]
                raise Fatal(f"{said}: {advice(error, asked, 'check the brokers')}") from error
            raise Aborted(said) from error

    def close(self) -> None:
        """Leave the group, so that others take over at once; with an `instance_id` the group waits
        for it to come back, for `kafka.session_timeout_ms`.
        """
        self._consumer.close(timeout_ms=self._settings.session_timeout_ms)

    def _poll(self, timeout_ms: int, max_records: int) -> Mapping[TopicPartition, Sequence[Record]]:
        taken: Mapping[TopicPartition, Sequence[Record]] = {}
        self._join.take_up()
        # Offsets outside a transaction are taken from settled members only.
        transactional = self._settings.guarantee == "exactly-once"
        working = transactional and self._join.wanted and self._owned > self._held
        try:
            wait_ms = min(timeout_ms, JOIN_POLL_MS) if working else timeout_ms
            taken = self._consumer.poll(timeout_ms=wait_ms, max_records=max_records)
            if working and not taken and self._join.wanted:
                taken = self._fetched(timeout_ms, max_records)
        except (KafkaError, ValueError, AssertionError) as error:
            if not getattr(error, "retriable", False):
                raise self._unreadable(error) from error
        self._settled = self._consumer.group_metadata().state == MemberState.STABLE
        return taken

    def _fetched(
        self, timeout_ms: int, max_records: int
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        """Records without a look at the group.

        kafka-python 3.0.12 hands out none while the group waits for its slowest member, though a
        cooperative rebalance takes nothing away before its end.
        """
        fetched, idle = self._consumer._fetcher.fetch_records(max_records, timeout_ms=timeout_ms)
        if idle:
            time.sleep(timeout_ms / 1e3)
        found: Mapping[TopicPartition, Sequence[Record]] = fetched
        return found

    def _hold(self, partitions: Iterable[TopicPartition]) -> None:
        """Hold new partitions back, with a position that nobody reads from.

        Without one each poll would ask for their committed offsets, and wait: a dead owner's open
        transaction leaves these unknown.
        """
        for partition in partitions:
            self._consumer.seek(partition, 0)
            self._consumer.pause(partition)

    def _take_note(self, change: Rebalance) -> None:
        if change.kind == "assigned":
            self._owned.update(change.partitions)
            self._held.update(change.partitions)
        else:
            self._owned.difference_update(change.partitions)
            self._held.difference_update(change.partitions)
        self._on_rebalance(change)

    def _position(self, partition: TopicPartition) -> int | None:
        """The next offset to be read; it passes transaction markers, which a record's does not."""
        try:
            position = self._consumer.position(partition, timeout_ms=END_OFFSETS_LIMIT_MS)
        except IllegalStateError:
            return None  # revoked since the last poll; the note of it comes with the next one
        return None if position is None else int(position)

    def _no_committed(self, partition: int, error: KafkaError, way_out: str) -> Fatal:
        return Fatal(
            f"the committed offset of {self._topic}/{partition} in group {self._settings.group} "
            f"could not be read in {self._settings.connect_timeout_s:.0f} s "
            f"({type(error).__name__}: {error}): {way_out}"
        )

    def _what_holds_offsets(self, partition: int) -> str:
        """What the operator does about a committed offset that does not come."""
        try:
            place = TopicPartition(self._topic, partition)
            self._consumer.end_offsets([place], timeout_ms=END_OFFSETS_LIMIT_MS)
        except KafkaError:
            return "bring the brokers back, then start this process again"
        return (
            "the brokers answer, so that a transaction is open on it; find it with "
            "kafka-transactions.sh find-hanging and end it with its abort, as docs/exactly-once.md "
            "says under 'A transaction without an end', then start this process again"
        )

    def _still_away(self, error: KafkaError) -> None:
        silent_s = time.monotonic() - self._heard
        if not error.retriable or silent_s > self._settings.connect_timeout_s:
            raise Fatal(
                f"the brokers {self._settings.bootstrap_servers} have not said where "
                f"{self._topic} ends for {silent_s:.0f} s ({type(error).__name__}: {error}): bring "
                "them back or correct METAREC_KAFKA__BOOTSTRAP_SERVERS, then start this process"
            ) from error

    def _unreadable(self, error: Exception) -> Fatal:
        where = ", ".join(
            f"{self._topic}/{partition.partition} at {self._position(partition)}"
            for partition in sorted(self._consumer.assignment())
        )
        asked = (Right("Read", "topic", self._topic), Right("Read", "group", self._settings.group))
        otherwise = (
            "check the brokers; if a record there cannot be read by this client, move the group "
            "past it with kafka-consumer-groups --reset-offsets"
        )
        return Fatal(
            f"polling {self._topic} failed ({type(error).__name__}: {error}); positions: "
            f"{where or 'none'}; {advice(error, asked, otherwise)}"
        )
