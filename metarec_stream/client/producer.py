"""Posts interactions, and items of the catalogue, to Kafka."""

from __future__ import annotations

from threading import BoundedSemaphore
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from metarec_stream.contract.codec import Encoded, Encoding, encode, encode_interaction
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.item import Item
from metarec_stream.errors import Fatal, Reason, Rejected
from metarec_stream.kafka.connection import client_options, wait_for_brokers
from metarec_stream.kafka.rights import Right, advice
from metarec_stream.kafka.settings import KafkaSettings, TopicsSettings

_MOST_IN_FLIGHT = 20_000
_BATCH_BYTES = 65_536


class InteractionProducer:
    """Posts each interaction under its user as the key, so that a user's events stay in order.

    `post` returns at once; an event that Kafka did not take is raised as Fatal by the next call,
    at the latest by `flush` or `close`. Retries are idempotent: they do not double an event.
    """

    def __init__(
        self,
        kafka: KafkaSettings | str,
        *,
        topics: TopicsSettings | None = None,
        encoding: Encoding = "msgpack",
    ) -> None:
        """Connect to Kafka, given by settings or by its bootstrap servers alone.

        Raises Fatal if no broker is reached within `kafka.connect_timeout_s`.
        """
        self._kafka = KafkaSettings(bootstrap_servers=kafka) if isinstance(kafka, str) else kafka
        self._topics = topics or TopicsSettings()
        self._encoding: Encoding = encoding
        self._failure: Exception | None = None
        self._acknowledged = 0
        # kafka-python buffers without bound: this is what makes a fast caller wait for the broker.
        self._room = BoundedSemaphore(_MOST_IN_FLIGHT)
        wait_for_brokers(self._kafka)
        compression = self._kafka.compression
        self._producer = KafkaProducer(
            **client_options(self._kafka),
            enable_idempotence=True,
            compression_type=None if compression == "none" else compression,
            batch_size=_BATCH_BYTES,
            max_request_size=self._kafka.max_message_bytes,
            max_block_ms=int(self._kafka.connect_timeout_s * 1_000),
            allow_auto_create_topics=False,
        )

    @property
    def acknowledged(self) -> int:
        """Messages that Kafka has taken so far."""
        return self._acknowledged

    def post(self, interaction: Interaction) -> None:
        """Post one interaction to `topics.interactions`.

        Raises Rejected if it is larger than Kafka takes, Fatal if an earlier one was not taken.
        """
        encoded = encode_interaction(interaction, self._encoding)
        self._send(self._topics.interactions, interaction.user, encoded)

    def announce(self, item: Item) -> None:
        """Post one item of the catalogue to `topics.items`; raises like `post`."""
        self._send(self._topics.items, item.item, encode(item, self._encoding))

    def flush(self) -> None:
        """Wait until Kafka has taken everything posted; raises Fatal if it did not."""
        try:
            self._producer.flush()
        except KafkaError as error:
            self._failure = self._failure or error
        self._raise_failure()

    def close(self) -> None:
        """Flush and disconnect; raises Fatal if an event was not taken."""
        try:
            self.flush()
        finally:
            self._producer.close(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._producer.close(timeout=5)

    def _send(self, topic: str, key: str, encoded: Encoded) -> None:
        self._raise_failure()
        value, headers = encoded
        self._room.acquire()
        try:
            sent = self._producer.send(topic, value, key=key.encode(), headers=list(headers))
        except MessageSizeTooLargeError as error:
            self._room.release()
            raise Rejected(Reason.TOO_LARGE, f"{topic}: {error}") from error
        except KafkaError as error:
            self._room.release()
            raise self._not_taken(topic, error) from error
        sent.add_callback(self._on_taken)
        sent.add_errback(self._on_failure)

    def _on_taken(self, _metadata: Any) -> None:
        self._acknowledged += 1
        self._room.release()

    def _on_failure(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._room.release()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._not_taken(self._topics.interactions, self._failure) from self._failure

    def _not_taken(self, topic: str, error: Exception) -> Fatal:
        written = (self._topics.interactions, self._topics.items)
        asked = [Right("Write", "topic", name) for name in written]
        what = advice(error, asked, "see that the topic exists")
        return Fatal(
            f"Kafka at {self._kafka.bootstrap_servers} did not take a message for topic {topic} "
            f"({error!r}) after {self._acknowledged} that it took: {what}; what it did not take "
            "may be posted again (events with an event_id are not applied twice)"
        )
