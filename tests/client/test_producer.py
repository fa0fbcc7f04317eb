"""Posting to a real broker."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from metarec_stream.client import InteractionProducer
from metarec_stream.config import Settings
from metarec_stream.contract.codec import decode_map
from metarec_stream.contract.interaction import Interaction, Scalar
from metarec_stream.contract.item import Item
from metarec_stream.contract.partitioner import partition_of
from metarec_stream.errors import Fatal, Rejected
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.settings import KafkaSettings
from metarec_stream.kafka.topics import ensure_topics


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """Settings whose topics exist."""
    ensure_topics(settings)
    return settings


def read_all(settings: Settings, topic: str, partitions: int) -> list[Any]:
    """Every record of the topic, partition by partition."""
    consumer = KafkaConsumer(
        **client_options(settings.kafka), auto_offset_reset="earliest", enable_auto_commit=False
    )
    try:
        chosen = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(chosen)
        ends = consumer.end_offsets(chosen)
        records = []
        while any(consumer.position(each) < ends[each] for each in chosen):
            for found in consumer.poll(timeout_ms=500).values():
                records += found
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
def test_an_interaction_arrives_under_its_user_in_either_encoding(
    topics: Settings, encoding: Any
) -> None:
    """Key, partition, header and value are the wire contract's; absent fields are not sent."""
    with InteractionProducer(topics.kafka, topics=topics.topics, encoding=encoding) as producer:
        for number in range(20):
            producer.post(Interaction(user=f"user-{number % 5}", item=f"item-{number}", value=1.5))
    records = read_all(topics, topics.topics.interactions, 2)
    assert len(records) == 20
    for record in records:
        assert record.partition == partition_of(record.key, 2)
        headers = dict(record.headers)
        assert headers["content-type"] == f"application/{encoding}".encode()
        message = decode_map(record.value, headers["content-type"])
        assert message["user"].encode() == record.key
        assert message["value"] == 1.5
        assert "event_id" not in message


def test_a_users_events_keep_their_order(topics: Settings) -> None:
    """In the order of posting, all in one partition."""
    with InteractionProducer(topics.kafka, topics=topics.topics) as producer:
        for number in range(3_000):
            producer.post(Interaction(user="one", item=str(number)))
        producer.flush()
        assert producer.acknowledged == 3_000
    records = read_all(topics, topics.topics.interactions, 2)
    items = [decode_map(record.value, None)["item"] for record in records]
    assert items == [str(number) for number in range(3_000)]


def test_items_go_to_their_topic(topics: Settings) -> None:
    """Under the item's id, so that the topic's compaction keeps the newest."""
    with InteractionProducer(topics.kafka, topics=topics.topics) as producer:
        producer.announce(Item(item="mug", title="A mug", price=2.5))
    (record,) = read_all(topics, topics.topics.items, 1)
    assert record.key == b"mug"
    assert decode_map(record.value, None)["title"] == "A mug"


def test_a_topic_that_is_missing_is_fatal(settings: Settings) -> None:
    """Nothing is dropped silently, and no topic comes into being by accident."""
    kafka = settings.kafka.model_copy(update={"connect_timeout_s": 2.0})
    producer = InteractionProducer(kafka, topics=settings.topics)
    with pytest.raises(Fatal, match=settings.topics.interactions):
        producer.post(Interaction(user="u", item="i"))
    producer.close()


def test_what_kafka_refuses_is_raised_by_the_next_call(topics: Settings) -> None:
    """A delivery fails after `post` has returned: `flush` raises it, and so does `close`."""
    context: dict[str, Scalar] = {"note": "x" * 30_000_000}
    beyond = {"max_message_bytes": 64 * 1024 * 1024, "compression": "none"}
    plain = topics.kafka.model_copy(update=beyond)
    producer = InteractionProducer(plain, topics=topics.topics)
    producer.post(Interaction(user="u", item="i", context=context))
    with pytest.raises(Fatal, match="did not take"):
        producer.flush()
    with pytest.raises(Fatal, match="did not take"):
        producer.close()


def test_a_message_beyond_the_limit_is_rejected_and_the_rest_goes_on(topics: Settings) -> None:
    """The caller learns it at once, and the producer stays usable."""
    small = topics.kafka.model_copy(update={"max_message_bytes": 100_000})
    with InteractionProducer(small, topics=topics.topics) as producer:
        with pytest.raises(Rejected, match="too-large"):
            producer.post(Interaction(user="u", item="i", context={"note": "x" * 200_000}))
        producer.post(Interaction(user="u", item="i"))
    assert len(read_all(topics, topics.topics.interactions, 2)) == 1


def test_no_broker_is_fatal_and_names_the_setting() -> None:
    """After the time that is allowed for it."""
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:1", connect_timeout_s=1.0)
    with pytest.raises(Fatal, match="METAREC_KAFKA__BOOTSTRAP_SERVERS"):
        InteractionProducer(nowhere)
