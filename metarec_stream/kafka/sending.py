"""Outputs to a producer of the library: its options, how one is sent, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kafka import KafkaProducer

from metarec_stream.contract.transport import Output
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.settings import KafkaSettings

OUTPUT_BATCH: dict[str, Any] = {"linger_ms": 0, "batch_size": 64 * 1024}
"""Options of a producer of many outputs at a time."""


def sending_options(kafka: KafkaSettings, limit_s: float) -> dict[str, Any]:
    """Of any producer that answers within a limit."""
    return {
        **client_options(kafka),
        "max_request_size": kafka.max_message_bytes,
        "max_block_ms": int(limit_s * 1e3),
        "compression_type": None if kafka.compression == "none" else kafka.compression,
    }


def send_output(producer: KafkaProducer, output: Output) -> Any:
    """The library's future of it; raises KafkaError or AssertionError."""
    # The library sends no record without both key and value, nor a header without a value.
    value = b"" if output.key is None and output.value is None else output.value
    return producer.send(
        output.topic,
        key=output.key,
        value=value,
        headers=[(name, content or b"") for name, content in output.headers],
        partition=output.partition,
    )


def first_failure(sent: Iterable[Any]) -> Exception | None:
    """Why the first of the producer's futures that is not acknowledged is not; None if all are.

    To be asked between flush and commit: the library's commit does not see to it.
    """
    for each in sent:
        if not each.succeeded():
            return each.exception or TimeoutError("not acknowledged")
    return None


def ends_of(sent: Iterable[Any], topic: str) -> dict[int, int]:
    """By partition, the offset after the last of the producer's futures that is of this topic."""
    acknowledged = (each.value for each in sent if each.succeeded())
    return {
        each.partition: int(each.offset) + 1
        for each in acknowledged
        if each.topic == topic and each.offset >= 0
    }
