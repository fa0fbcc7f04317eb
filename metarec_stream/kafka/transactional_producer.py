"""A producer with transactions whose requests outlive the connection that they were meant for."""

from __future__ import annotations

from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaConnectionError


def transactional_producer(**options: Any) -> KafkaProducer:
    """kafka-python's own, mended in one place; `options` are its options.

    kafka-python 3.0.12 asks its client to wait for a connection to the coordinator and expects
    False where there is none, upon which it looks the coordinator up again and sends the request
    then. The client raises instead, and the request is forgotten: a commit, or offsets, that meet a
    broker that is just away wait in vain until their time is over, though it comes back at once.
    """
    producer = KafkaProducer(**options)
    client: Any = producer._sender._client
    wait = client.await_ready

    def await_ready(*arguments: Any, **options: Any) -> bool:
        try:
            return bool(wait(*arguments, **options))
        except KafkaConnectionError:
            return False

    client.await_ready = await_ready
    return producer
