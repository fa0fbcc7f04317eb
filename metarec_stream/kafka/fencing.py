"""Ending the transactions that a former owner of our partitions has left open."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence

import structlog
from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError, TransactionalIdNotFoundError

from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.rights import advice, consumer_rights
from metarec_stream.kafka.time_limit import TimeLimit
from metarec_stream.kafka.transactional_producer import transactional_producer

LIMIT_S = 10.0
LOOK_EVERY_S = 0.1
STALE_S = 1.5
"""A living process goes on from its offsets to its first record at once."""
GONE_S = 0.2
"""Of one that is no member of the group: an earlier release's does not say its id there."""
_OPEN = ("Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence")

log = structlog.get_logger()


class Fencing:
    """Takes the place of other processes' producers, so that what they have open is ended.

    Without it the broker ends a dead process's transaction only after its time limit, and until
    then a zombie may still commit rows of partitions that are no longer its own.

    A transaction that has written nothing yet but offsets does not say of which partitions: every
    living member has one for a moment in each batch. One that stays so is ended, too, and that of a
    process that the group does not know any more sooner.
    """

    def __init__(self, settings: Settings, own_id: str) -> None:
        self._settings = settings
        self._own_id = own_id
        self._prefix = f"{settings.application}.{settings.kafka.group}."
        self._suspects: dict[tuple[str, int], float] = {}
        self._looked = -LOOK_EVERY_S
        self._admin: KafkaAdminClient | None = None

    def fence(self, partitions: Sequence[int]) -> bool:
        """End every open transaction of the group that touches these partitions.

        False while there are some of which that is not known: call it again. Raises Fatal if the
        brokers do not answer.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY_S:
            return False
        self._looked = now
        try:
            owners = self._owners(self.connect(), frozenset(partitions), now)
            for owner in owners:
                self._end(owner)
        except (KafkaError, TimeoutError) as error:
            rights = consumer_rights(self._settings)
            raise Fatal(
                f"the open transactions of {self._prefix}* could not be ended "
                f"({type(error).__name__}: {error}): "
                + advice(error, rights, "check the brokers, then start this process again")
            ) from error
        if owners:
            log.info("transactions_fenced", owners=owners, partitions=list(partitions))
        return not self._suspects

    def connect(self) -> KafkaAdminClient:
        """The connection, which takes its time to open; raises KafkaError."""
        if self._admin is None:
            self._admin = KafkaAdminClient(**client_options(self._settings.kafka))
        return self._admin

    def close(self) -> None:
        """Give the connection back."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _owners(self, admin: KafkaAdminClient, partitions: frozenset[int], now: float) -> list[str]:
        """Transactional ids other than ours whose open transaction touches the partitions."""
        listed = admin.list_transactions(
            state_filters=list(_OPEN), transactional_id_pattern=f"{re.escape(self._prefix)}.*"
        )
        names = {each.transactional_id for found in listed.values() for each in found}
        owners, suspects = [], {}
        for name in sorted(names - {self._own_id}):
            started, touched = _touched(admin, name)
            written = {place for place in touched if place.topic in self._outputs()}
            if any(place.partition in partitions for place in written):
                owners.append(name)
            elif touched and not written:
                suspects[name, started] = self._suspects.get((name, started), now)
        gone = self._gone(admin, (name for name, _ in suspects)) if suspects else frozenset()
        stale = [
            (name, started)
            for (name, started), seen in suspects.items()
            if now - seen >= (GONE_S if name in gone else STALE_S)
        ]
        self._suspects = {each: suspects[each] for each in suspects.keys() - set(stale)}
        return owners + [name for name, _ in stale]

    def _gone(self, admin: KafkaAdminClient, names: Iterable[str]) -> frozenset[str]:
        """Of these transactional ids, those of no member of the group; none if it does not say."""
        group = self._settings.kafka.group
        described = admin.describe_groups([group])[group]
        if described["error"]:
            return frozenset()
        return frozenset(names) - {member["client_id"] for member in described["members"]}

    def _outputs(self) -> tuple[str, ...]:
        return self._settings.topics.partitioned()

    def _end(self, transactional_id: str) -> None:
        producer = transactional_producer(
            **client_options(self._settings.kafka),
            transactional_id=transactional_id,
            retry_backoff_ms=5,
        )
        calls = TimeLimit("kafka-fencing")
        try:
            calls.call(producer.init_transactions, LIMIT_S)
        finally:
            calls.close()
            producer.close(timeout=1.0)


def _touched(admin: KafkaAdminClient, transactional_id: str) -> tuple[int, set[TopicPartition]]:
    """When an open transaction began, and its partitions; none if it is over by now."""
    try:
        described = admin.describe_transactions([transactional_id])[transactional_id]
    except TransactionalIdNotFoundError:
        return 0, set()
    return described.transaction_start_time_ms, set(described.topic_partitions)
