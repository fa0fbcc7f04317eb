"""Reading recommendations from a real broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest
from kafka import KafkaProducer

from metarec_stream.client import RecommendationSubscriber
from metarec_stream.config import Settings
from metarec_stream.contract.codec import encode
from metarec_stream.contract.partitioner import partition_of
from metarec_stream.contract.recommendation import (
    Recommendation,
    RecommendedItem,
    SourcePosition,
    recommendation_id,
)
from metarec_stream.errors import Fatal
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.topics import ensure_topics


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """Settings whose topics exist."""
    ensure_topics(settings)
    return settings


def recommendation(user: str, offset: int) -> Recommendation:
    """One that answers the interaction of this offset."""
    return Recommendation(
        rec_id=recommendation_id("interactions", 0, offset),
        user=user,
        items=[RecommendedItem(item=f"item-{offset}", score=0.5, why=["popular"])],
        ts=2,
        event_ts=1,
        meta_version=3,
        adapter="value-sum",
        arm="default",
        source=SourcePosition(topic="interactions", partition=0, offset=offset),
    )


Send = Callable[..., None]


@contextmanager
def sender(settings: Settings, **options: Any) -> Iterator[tuple[Any, Send]]:
    """A producer, and a function that sends a user's recommendation as the service does."""
    producer = KafkaProducer(**client_options(settings.kafka), retry_backoff_ms=5, **options)

    def send(user: str, offset: int, encoding: Any = "msgpack") -> None:
        value, headers = encode(recommendation(user, offset), encoding)
        producer.send(
            settings.topics.recommendations,
            value,
            key=user.encode(),
            headers=list(headers),
            partition=partition_of(user.encode(), settings.topics.partitions),
        )

    try:
        yield producer, send
    finally:
        producer.close()


def collect(subscriber: RecommendationSubscriber, count: int) -> list[Recommendation]:
    """What comes until there are so many; fails after 10 s."""
    found: list[Recommendation] = []
    deadline = time.monotonic() + 10
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {len(found)} of {count} came"
        found += subscriber.poll(0.2)
    return found


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
def test_it_starts_with_what_comes_next(topics: Settings, encoding: Any) -> None:
    """What was there before is not read; all that is made after the constructor returned is."""
    with sender(topics) as (producer, send):
        send("ann", 0, encoding)
        producer.flush()
        with RecommendationSubscriber(topics.kafka, topics=topics.topics) as subscriber:
            send("ann", 1, encoding)
            send("bob", 2, encoding)
            found = collect(subscriber, 2)
    assert {each.user: each for each in found} == {
        "ann": recommendation("ann", 1),
        "bob": recommendation("bob", 2),
    }


def test_it_can_start_with_the_oldest(topics: Settings) -> None:
    """Iteration hands out everything that is kept, in order for each user."""
    with sender(topics) as (_, send):
        for offset in range(50):
            send("ann", offset)
    with RecommendationSubscriber(
        topics.kafka, topics=topics.topics, from_beginning=True
    ) as subscriber:
        offsets = [each.source.offset for each in islice(subscriber, 50)]
    assert offsets == list(range(50))


def test_one_users_lists_alone(topics: Settings) -> None:
    """Neither another user of the same partition nor another partition is handed out."""
    users = [f"user-{number}" for number in range(10)]
    with sender(topics) as (_, send):
        for offset, user in enumerate(users * 3):
            send(user, offset)
    with RecommendationSubscriber(
        topics.kafka, topics=topics.topics, user="user-4", from_beginning=True
    ) as subscriber:
        found = collect(subscriber, 3)
        assert subscriber.poll(0.5) == []
    assert [each.source.offset for each in found] == [4, 14, 24]


def test_what_is_not_committed_is_not_read(topics: Settings) -> None:
    """A list of an aborted transaction never comes; that of the next one does."""
    transactional = f"{topics.application}.tx"
    with (
        sender(topics, transactional_id=transactional) as (producer, send),
        RecommendationSubscriber(topics.kafka, topics=topics.topics) as subscriber,
    ):
        producer.init_transactions()
        producer.begin_transaction()
        send("ann", 1)
        producer.flush()
        assert subscriber.poll(0.5) == []
        producer.abort_transaction()
        producer.begin_transaction()
        send("ann", 2)
        producer.commit_transaction()
        assert [each.source.offset for each in collect(subscriber, 1)] == [2]


def test_what_cannot_be_decoded_is_passed_over(topics: Settings) -> None:
    """Another program's record on the topic does not end the subscription."""
    with sender(topics) as (producer, send):
        topic = topics.topics.recommendations
        producer.send(topic, b"\xff broken", key=b"ann", partition=0)
        producer.send(topic, None, key=b"ann", partition=0)
        send("ann", 7)
    with RecommendationSubscriber(
        topics.kafka, topics=topics.topics, from_beginning=True
    ) as subscriber:
        assert [each.source.offset for each in collect(subscriber, 1)] == [7]


def test_a_topic_that_does_not_come_is_fatal(settings: Settings) -> None:
    """It says which, and what makes it."""
    kafka = settings.kafka.model_copy(update={"connect_timeout_s": 1.5})
    with pytest.raises(Fatal, match=r"recommendations.* does not exist"):
        RecommendationSubscriber(kafka, topics=settings.topics)
