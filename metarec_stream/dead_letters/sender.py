"""The one producer that may replay dead letters: another replay of the application is fenced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, ProducerFencedError

from metarec_stream.config import Settings
from metarec_stream.dead_letters.letter import Letter
from metarec_stream.dead_letters.replay import replay_of, timestamp_of
from metarec_stream.errors import Fatal
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.rights import advice, dlq_rights, dlq_transactional_id
from metarec_stream.kafka.time_limit import TimeLimit
from metarec_stream.kafka.transaction import RETRY_BACKOFF_MS, compression, first_failure

_MARGIN_S = 5.0


class ReplaySender:
    """Sends letters to the input in transactions.

    When it is made, what an earlier replay had open has been ended: the input tells from then on
    what was replayed. Every method raises Fatal where Kafka refuses, or another replay has begun.
    """

    def __init__(self, settings: Settings) -> None:
        kafka = settings.kafka
        self._rights = [right for right in dlq_rights(settings) if right.operation == "Write"]
        self._id = dlq_transactional_id(settings)
        self._limit_s = kafka.transaction_timeout_ms / 1e3 + _MARGIN_S
        self._calls = TimeLimit("dlq-transaction")
        self._producer = KafkaProducer(
            **client_options(kafka),
            transactional_id=self._id,
            transaction_timeout_ms=kafka.transaction_timeout_ms,
            retry_backoff_ms=RETRY_BACKOFF_MS,
            max_request_size=kafka.max_message_bytes,
            max_block_ms=int(self._limit_s * 1e3),
            compression_type=compression(kafka.compression),
        )
        self._wait("initialising the producer", self._producer.init_transactions)

    def send(self, letters: Sequence[Letter]) -> None:
        """Replay these, all or none of them."""
        self._wait("beginning a transaction", self._producer.begin_transaction)
        sent = [self._send(letter) for letter in letters]
        self._wait("sending the records", self._producer.flush)
        error = first_failure(sent)
        if error is not None:
            raise self._fatal("sending the records", error) from error
        self._wait("committing", self._producer.commit_transaction)

    def close(self) -> None:
        """Give the connection back; an open transaction is left to the broker's time limit."""
        with contextlib.suppress(KafkaError, TimeoutError):
            self._calls.call(lambda: self._producer.close(timeout=1.0), _MARGIN_S)
        self._calls.close()

    def _send(self, letter: Letter) -> Any:
        output = replay_of(letter)
        try:
            return self._producer.send(
                output.topic,
                key=output.key,
                value=output.value,
                headers=list(output.headers),
                partition=output.partition,
                timestamp_ms=timestamp_of(letter),
            )
        except (KafkaError, AssertionError) as error:
            raise self._fatal(f"sending {letter.place}", error) from error

    def _wait(self, doing: str, function: Callable[[], None]) -> None:
        try:
            self._calls.call(function, self._limit_s)
        except (KafkaError, TimeoutError, AssertionError) as error:
            raise self._fatal(doing, error) from error

    def _fatal(self, doing: str, error: Exception) -> Fatal:
        if isinstance(error, ProducerFencedError):
            what = "another replay of the same application has begun; let it end"
        else:
            what = advice(error, self._rights, "check the brokers")
        said = f"{type(error).__name__}: {error}"
        return Fatal(
            f"{doing} failed as {self._id} ({said}): {what}, then run this again: what was "
            "replayed is not replayed twice"
        )
