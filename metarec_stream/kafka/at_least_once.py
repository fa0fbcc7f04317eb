"""The output's producer without transactions: faster, and a crash may show what it sent twice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Aborted, Output, Refused
from metarec_stream.errors import Fatal
from metarec_stream.kafka.rights import advice, consumer_rights
from metarec_stream.kafka.sending import (
    OUTPUT_BATCH,
    ends_of,
    first_failure,
    send_output,
    sending_options,
)
from metarec_stream.kafka.time_limit import TimeLimit
from metarec_stream.kafka.transaction import MARGIN_S, REFUSALS

CLOSE_LIMIT_S = 5.0


class AtLeastOnce:
    """Meets `contract.transport.Transaction` with a weaker promise.

    **Promised.** Every record leads to its outputs at least once, and no offset is committed before
    all outputs of its records are with the brokers. Every event is learned once: a header of the
    changelog is sent only when all rows and outputs before it are there, and a new owner goes on
    from the header where the group's offset is behind it.

    **Not promised.** After a crash or a rebalance, recommendations, dead letters and tasks of the
    last batch may come twice (a `rec_id` tells which are the same), and a crash within a checkpoint
    leaves rows that its header does not know: the next owner then rebuilds the partition from the
    input, or goes on degraded where that is not all there. A zombie is not fenced.
    """

    transactional_id = ""

    def __init__(
        self,
        settings: Settings,
        header_key: bytes,
        commit: Callable[[Mapping[int, int]], None],
    ) -> None:
        """`header_key`: of the changelog's records that come last.

        `commit` writes the group's offsets; raises Aborted if they are not its member's.
        """
        self._settings = settings
        self._header_key = header_key
        self._commit = commit
        self._limit_s = settings.kafka.transaction_timeout_ms / 1e3 + MARGIN_S
        self._offsets: dict[int, int] = {}
        self._headers: list[Output] = []
        self._sent: list[Any] = []
        self._open()

    def begin(self) -> None:
        self._offsets.clear()
        self._headers.clear()
        self._sent.clear()

    def send_offsets(self, offsets: Mapping[int, int], group_metadata: object) -> None:
        self._offsets.update(offsets)

    def send(self, output: Output) -> None:
        if output.topic == self._settings.topics.state and output.key == self._header_key:
            self._headers.append(output)
        else:
            self._send(output)

    def commit(self) -> None:
        self._flush()
        for header in self._headers:
            self._send(header)
        self._flush()
        self._commit(self._offsets)

    def ends(self, topic: str) -> Mapping[int, int]:
        return ends_of(self._sent, topic)

    def abort(self) -> None:
        self.begin()

    def renew(self) -> None:
        self.close()
        self._open()

    def close(self) -> None:
        """Give the connection back."""
        with contextlib.suppress(KafkaError, TimeoutError):
            self._calls.call(lambda: self._producer.close(timeout=1.0), CLOSE_LIMIT_S)
        self._calls.close()

    def _open(self) -> None:
        kafka = self._settings.kafka
        self._calls = TimeLimit("kafka-producer")
        self._producer = KafkaProducer(
            **sending_options(kafka, self._limit_s),
            **OUTPUT_BATCH,
            acks="all",
            enable_idempotence=True,
        )

    def _send(self, output: Output) -> None:
        try:
            self._sent.append(send_output(self._producer, output))
        except (KafkaError, AssertionError) as error:
            raise self._failed(error) from error

    def _flush(self) -> None:
        try:
            self._calls.call(self._producer.flush, self._limit_s)
        except (KafkaError, TimeoutError) as error:
            raise self._failed(error) from error
        failure = first_failure(self._sent)
        if failure is not None:
            raise self._failed(failure) from failure

    def _failed(self, error: Exception) -> Aborted | Fatal:
        said = f"sending a batch's outputs: {type(error).__name__}: {error}"
        if isinstance(error, REFUSALS):
            return Refused(said)
        if isinstance(error, TimeoutError) or getattr(error, "retriable", False):
            return Aborted(said)
        what = advice(
            error,
            consumer_rights(self._settings),
            "check the brokers, then start this process again",
        )
        return Fatal(f"{said}: {what}")
