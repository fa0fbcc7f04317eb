"""Records in transactions of an id that one process at a time has, outside the event loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from kafka.errors import KafkaError

from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.kafka.sending import first_failure, sending_options
from metarec_stream.kafka.time_limit import TimeLimit
from metarec_stream.kafka.transactional_producer import transactional_producer

RETRY_BACKOFF_MS = 5
"""Slept on every retried transactional request: the library's 100 would rule the latency."""
_MARGIN_S = 5.0

Record = dict[str, Any]
"""What the library's `send` takes of a record, by its own names."""


class AllOrNone:
    """Sends records, all or none of them.

    When it is made, what an earlier process of the id had open has been ended, and that process can
    commit nothing more. `fatal(doing, error)` says what an error means: every method raises that.
    """

    def __init__(
        self, settings: Settings, transactional_id: str, fatal: Callable[[str, Exception], Fatal]
    ) -> None:
        kafka = settings.kafka
        self._fatal = fatal
        self._limit_s = kafka.transaction_timeout_ms / 1e3 + _MARGIN_S
        self._calls = TimeLimit(transactional_id)
        self._producer = transactional_producer(
            **sending_options(kafka, self._limit_s),
            transactional_id=transactional_id,
            transaction_timeout_ms=kafka.transaction_timeout_ms,
            retry_backoff_ms=RETRY_BACKOFF_MS,
        )
        self._wait("initialising the producer", self._producer.init_transactions)

    def send(self, what: str, records: Sequence[Record]) -> None:
        """Send these in one transaction; `what` they are is said in errors."""
        self._wait("beginning a transaction", self._producer.begin_transaction)
        sent = [self._send(what, record) for record in records]
        self._wait(f"sending {what}", self._producer.flush)
        error = first_failure(sent)
        if error is not None:
            raise self._fatal(f"sending {what}", error) from error
        self._wait(f"committing {what}", self._producer.commit_transaction)

    def close(self) -> None:
        """Give the connection back; an open transaction is left to the next one of the id."""
        with contextlib.suppress(KafkaError, TimeoutError):
            self._calls.call(lambda: self._producer.close(timeout=1.0), _MARGIN_S)
        self._calls.close()

    def _send(self, what: str, record: Record) -> Any:
        try:
            return self._producer.send(**record)
        except (KafkaError, AssertionError) as error:
            raise self._fatal(f"sending {what}", error) from error

    def _wait(self, doing: str, function: Callable[[], None]) -> None:
        try:
            self._calls.call(function, self._limit_s)
        except (KafkaError, TimeoutError, AssertionError) as error:
            raise self._fatal(doing, error) from error
