"""The output's transactional producer over Kafka: one process, one transactional id."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CommitFailedError,
    InvalidProducerEpochError,
    InvalidRecordError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFencedError,
    RecordListTooLargeError,
)

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Aborted, Output, Refused, Uncertain
from metarec_stream.errors import Fatal
from metarec_stream.kafka.all_or_none import RETRY_BACKOFF_MS
from metarec_stream.kafka.rights import Right, advice, consumer_rights
from metarec_stream.kafka.sending import (
    OUTPUT_BATCH,
    ends_of,
    first_failure,
    send_output,
    sending_options,
)
from metarec_stream.kafka.time_limit import TimeLimit
from metarec_stream.kafka.transactional_producer import transactional_producer

ABORT_LIMIT_S = 5.0
MARGIN_S = 5.0
"""Beyond the transaction's own limit, for the broker's answer that it has ended it."""


REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError)
"""What the brokers say of a record that they will never take."""
FENCED = (ProducerFencedError, InvalidProducerEpochError)
"""What they say of a producer whose id somebody else has taken: the latter of its records."""


def transactional_id_of(settings: Settings) -> str:
    """The same for an `instance_id` whenever it is started; else one of the process's own."""
    slot = settings.instance_id or secrets.token_hex(8)
    return f"{settings.application}.{settings.kafka.group}.{slot}"


class KafkaTransaction:
    """One open transaction at a time, as `contract.transport.Transaction`.

    Aborted: offsets of a stale generation, a wait that takes longer than the broker keeps a
    transaction open, whatever may pass. Uncertain: a commit without an answer. Fatal: a fenced
    producer, a missing right.
    """

    def __init__(self, settings: Settings, transactional_id: str | None = None) -> None:
        """`transactional_id`: one of `transactional_id_of`; a new one if absent."""
        self.transactional_id = transactional_id or transactional_id_of(settings)
        self._kafka = settings.kafka
        self._input_topic = settings.topics.interactions
        self._rights = consumer_rights(settings)
        self._settings = settings
        self._limit_s = settings.kafka.transaction_timeout_ms / 1e3 + MARGIN_S
        self._sent: list[Any] = []
        self._open()

    def _open(self) -> None:
        """A new producer, which settles what an earlier one of its id has open.

        Raises Fatal if that takes longer than `kafka.connect_timeout_s`.
        """
        kafka = self._settings.kafka
        self._calls = TimeLimit("kafka-transaction")
        try:
            self._producer = transactional_producer(
                **sending_options(kafka, self._limit_s),
                **OUTPUT_BATCH,
                transactional_id=self.transactional_id,
                transaction_timeout_ms=kafka.transaction_timeout_ms,
                retry_backoff_ms=RETRY_BACKOFF_MS,
            )
            limit_s = max(self._limit_s, kafka.connect_timeout_s)
            self._calls.call(self._producer.init_transactions, limit_s)
        except (KafkaError, TimeoutError, AssertionError) as error:
            raise self._fatal("initialising the producer", error) from error

    def begin(self) -> None:
        self._sent.clear()
        self._wait("beginning a transaction", self._producer.begin_transaction)

    def send_offsets(self, offsets: Mapping[int, int], group_metadata: object) -> None:
        committed = {
            TopicPartition(self._input_topic, partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()
        }
        where = ", ".join(f"{self._input_topic}/{at} to {to}" for at, to in offsets.items())
        self._wait(
            f"sending the offsets ({where})",
            lambda: self._producer.send_offsets_to_transaction(committed, group_metadata),
        )

    def send(self, output: Output) -> None:
        try:
            self._sent.append(send_output(self._producer, output))
        except (KafkaError, AssertionError) as error:
            raise self._failed(f"sending to {output.topic}/{output.partition}", error) from error

    def commit(self) -> None:
        """Commit once every record is known to be with the broker.

        The library's own commit does not see to that: a batch that was given up, or a bump of the
        producer's epoch (KIP-360), can leave it with nothing to commit and no error.
        """
        self._wait("sending the transaction's records", self._producer.flush)
        error = first_failure(self._sent)
        if error is not None:
            raise self._failed("sending the transaction's records", error) from error
        try:
            self._calls.call(self._producer.commit_transaction, self._limit_s)
        except FENCED as failure:
            raise self._fatal("committing", failure) from failure
        except (KafkaError, TimeoutError, AssertionError) as failure:
            raise Uncertain(f"committing: {_said(failure)}") from failure

    def ends(self, topic: str) -> Mapping[int, int]:
        return ends_of(self._sent, topic)

    def abort(self) -> None:
        try:
            self._calls.call(self._producer.abort_transaction, ABORT_LIMIT_S)
        except (KafkaError, TimeoutError, AssertionError) as error:
            raise self._fatal("aborting", error) from error

    def renew(self) -> None:
        self.close()
        self._open()

    def close(self) -> None:
        """Give the connection back; an open transaction is left to the broker's time limit."""
        with contextlib.suppress(KafkaError, TimeoutError):
            self._calls.call(lambda: self._producer.close(timeout=1.0), ABORT_LIMIT_S)
        self._calls.close()

    def _wait(self, doing: str, function: Callable[[], None]) -> None:
        try:
            self._calls.call(function, self._limit_s)
        except (KafkaError, TimeoutError, AssertionError) as error:
            raise self._failed(doing, error) from error

    def _failed(self, doing: str, error: Exception) -> Aborted | Fatal:
        """What an error before the commit means: nothing is visible, so that it can be undone."""
        if isinstance(error, REFUSALS):
            return Refused(f"{doing}: {_said(error)}")
        away = isinstance(error, TimeoutError) or getattr(error, "retriable", False)
        if away or isinstance(error, CommitFailedError):
            return Aborted(f"{doing}: {_said(error)}")
        return self._fatal(doing, error)

    def _fatal(self, doing: str, error: Exception) -> Fatal:
        return Fatal(
            f"{doing} failed for the transactional id {self.transactional_id} ({_said(error)}): "
            f"{self._advice(error)}"
        )

    def _advice(self, error: Exception) -> str:
        if isinstance(error, FENCED):
            return (
                "another process has the same id, or the broker ended the transaction; give each "
                "process its own instance_id, or none, and start this one again"
            )
        if isinstance(error, TimeoutError):
            return (
                f"no answer in {self._limit_s:.0f} s; check the brokers "
                f"{self._kafka.bootstrap_servers}, then start this process again"
            )
        return advice(error, self._asked(error), "check the brokers, then start again")

    def _asked(self, error: Exception) -> list[Right]:
        """The rights that a transaction makes use of.

        kafka-python 3.0.12 leaves the topic out of a refusal of offsets; it is the input's.
        """
        offsets = "TxnOffsetCommit" in str(error)
        return [
            right
            for right in self._rights
            if (right.name == self._input_topic if offsets else right.operation == "Write")
            or right.kind == "group"
        ]


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
