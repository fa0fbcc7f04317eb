"""The receipts of erasures from Kafka: all before anything is learned, then as they come."""

from __future__ import annotations

import time

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from metarec_stream.config import Settings
from metarec_stream.contract.receipt import Receipt, decode_receipt
from metarec_stream.errors import Fatal, Rejected
from metarec_stream.kafka.rights import Right, advice
from metarec_stream.kafka.source import reading_options

_WAIT_MS = 100
_LIMIT_MS = 10_000
_MOST_RECORDS = 1_000

logger = structlog.get_logger()

Positioned = tuple[Receipt, int]
"""A receipt, and the offset after it."""


class ReceiptReader:
    """Reads the receipts topic from its beginning, outside any group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topics.receipts
        self._place = TopicPartition(self._topic, 0)
        options = {**reading_options(settings), "max_poll_records": _MOST_RECORDS}
        self._consumer = KafkaConsumer(**options, group_id=None)
        self._consumer.assign([self._place])
        self._consumer.seek_to_beginning(self._place)

    def catch_up(self) -> list[Positioned]:
        """All that are there now. Raises Fatal if the brokers hand them out not or too slowly."""
        found: list[Positioned] = []
        patience_s = self._settings.kafka.connect_timeout_s
        try:
            end = self._consumer.end_offsets([self._place], _LIMIT_MS)[self._place]
            heard = time.monotonic()
            while self._position() < end:
                came = self._poll(_WAIT_MS)
                found += came
                heard = time.monotonic() if came else heard
                if time.monotonic() - heard > patience_s:
                    raise self._failed(TimeoutError("no record came"))
        except KafkaError as error:
            raise self._failed(error) from error
        return found

    def poll(self) -> list[Positioned]:
        """Those that have come since, without waiting. Raises Fatal if Kafka refuses."""
        try:
            return self._poll(0)
        except KafkaError as error:
            if not error.retriable:
                raise self._failed(error) from error
            return []

    def close(self) -> None:
        """Give the connection back."""
        self._consumer.close()

    def _poll(self, wait_ms: int) -> list[Positioned]:
        taken = self._consumer.poll(timeout_ms=wait_ms, max_records=_MOST_RECORDS)
        found = []
        for record in taken.get(self._place, ()):
            try:
                found.append((decode_receipt(record), int(record.offset) + 1))
            except (Rejected, ValueError) as error:
                logger.warning("receipt_refused", offset=record.offset, reason=str(error))
        return found

    def _position(self) -> int:
        return int(self._consumer.position(self._place, timeout_ms=_LIMIT_MS) or 0)

    def _failed(self, error: Exception) -> Fatal:
        asked = [Right("Read", "topic", self._topic)]
        return Fatal(
            f"reading {self._topic} failed ({type(error).__name__}: {error}): "
            + advice(error, asked, "check the brokers, then start again")
        )
