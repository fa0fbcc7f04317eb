"""The topics: created where missing, checked where there, against a real broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ConfigResource,
    ConfigResourceType,
    ResourcePattern,
    ResourceType,
)

from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.kafka.embedded import EmbeddedBroker
from metarec_stream.kafka.topics import ensure_topics, partition_counts
from metarec_stream.pipeline.settings import OutputSettings

Deny = Callable[[ResourceType, str, ACLOperation], None]


@pytest.fixture
def admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    """A client that sees what the code under test did."""
    with KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers) as client:
        yield client


@pytest.fixture
def deny(broker: Any, admin: KafkaAdminClient) -> Iterator[Deny]:
    """Takes one right on a topic or the cluster away from every client, until the test is over."""
    if not isinstance(broker, EmbeddedBroker):
        pytest.skip("changes access rights: on the embedded broker only")
    made: list[ACL] = []

    def take(kind: ResourceType, name: str, operation: ACLOperation) -> None:
        pattern = ResourcePattern(kind, name)
        for right, permission in ((ACLOperation.ALL, "ALLOW"), (operation, "DENY")):
            acl = ACL("User:ANONYMOUS", "*", right, ACLPermissionType[permission], pattern)
            assert not admin.create_acls([acl])["failed"]
            made.append(acl)
        wait_until(lambda: all(in_force(acl) for acl in made))

    def in_force(acl: ACL) -> bool:
        return bool(admin.describe_acls(acl)[0])

    yield take
    admin.delete_acls(made)
    wait_until(lambda: not any(in_force(acl) for acl in made))


def wait_until(condition: Callable[[], bool]) -> None:
    """Until it holds, 10 s at most: access rights reach the broker a moment after they are set."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def names(settings: Settings) -> list[str]:
    """Every topic of these settings."""
    return [*settings.topics.partitioned(), *settings.topics.single()]


def with_topics(settings: Settings, **changes: Any) -> Settings:
    """The settings with other topic settings."""
    return settings.model_copy(update={"topics": settings.topics.model_copy(update=changes)})


def configuration(admin: KafkaAdminClient, topic: str) -> dict[str, str]:
    """What the broker keeps a topic with."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    (described,) = admin.describe_configs([resource]).values()
    return {key: entry["value"] for key, entry in described[topic].items()}


def test_missing_topics_are_created(settings: Settings, admin: KafkaAdminClient) -> None:
    """All topics are there with their partitions; the single ones and the changelog compacted."""
    assert ensure_topics(settings) == 2
    counts = partition_counts(admin, names(settings))
    assert {name: counts[name] for name in settings.topics.partitioned()} == dict.fromkeys(
        settings.topics.partitioned(), 2
    )
    assert [counts[name] for name in settings.topics.single()] == [1, 1, 1, 1]
    compacted = {
        name
        for name in names(settings)
        if configuration(admin, name).get("cleanup.policy") == "compact"
    }
    assert compacted == {*settings.topics.single(), settings.topics.state}
    assert ensure_topics(with_topics(settings, create=False)) == 2


def test_the_largest_record_fits(settings: Settings, admin: KafkaAdminClient) -> None:
    """A topic takes records of kafka.max_message_bytes, and what a batch adds to them."""
    ensure_topics(settings)
    largest = int(configuration(admin, settings.topics.tasks)["max.message.bytes"])
    assert settings.kafka.max_message_bytes < largest <= 16 * 1024 * 1024


def test_newest_lists_only(settings: Settings, admin: KafkaAdminClient) -> None:
    """With output.latest the recommendations are compacted."""
    ensure_topics(settings.model_copy(update={"output": OutputSettings(latest=True)}))
    kept = configuration(admin, settings.topics.recommendations)
    assert kept["cleanup.policy"] == "compact"


def test_the_inputs_partitions_win(settings: Settings, admin: KafkaAdminClient) -> None:
    """The others get as many partitions as an input that is there, whatever is set."""
    admin.create_topics({settings.topics.interactions: {"num_partitions": 3}})
    admin.wait_for_topics([settings.topics.interactions])
    assert ensure_topics(settings) == 3
    assert partition_counts(admin, [settings.topics.tasks]) == {settings.topics.tasks: 3}


def test_several_processes_may_create_at_once(settings: Settings) -> None:
    """Whoever comes second finds the topics there and is content."""
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ensure_topics, [settings] * 4)) == [2, 2, 2, 2]


def test_missing_and_not_to_be_created(settings: Settings, admin: KafkaAdminClient) -> None:
    """The error names the topics and the setting, and nothing is created."""
    with pytest.raises(Fatal, match="METAREC_TOPICS__CREATE") as caught:
        ensure_topics(with_topics(settings, create=False))
    assert settings.topics.interactions in str(caught.value)
    assert partition_counts(admin, names(settings)) == {}


def test_unequal_partition_counts(settings: Settings, admin: KafkaAdminClient) -> None:
    """The error names both topics and both counts, and nothing else is created."""
    topics = settings.topics
    wrong = {topics.interactions: {"num_partitions": 3}, topics.tasks: {"num_partitions": 5}}
    admin.create_topics(wrong, wait_for_metadata=True)
    with pytest.raises(Fatal) as caught:
        ensure_topics(settings)
    said = str(caught.value)
    assert f"{topics.tasks} has 5 partitions and {topics.interactions} has 3" in said
    assert partition_counts(admin, [topics.recommendations]) == {}


def test_a_single_topic_with_many_partitions(settings: Settings, admin: KafkaAdminClient) -> None:
    """Meta versions in several partitions would have no order: refused, with the topic's name."""
    admin.create_topics({settings.topics.meta: {"num_partitions": 2}}, wait_for_metadata=True)
    with pytest.raises(Fatal, match=f"{settings.topics.meta} has 2 partitions and must have 1"):
        ensure_topics(settings)


def test_more_replicas_than_brokers(settings: Settings) -> None:
    """What the brokers refuse is said with the setting that asked for it."""
    with pytest.raises(Fatal, match="METAREC_TOPICS__REPLICATION_FACTOR=99"):
        ensure_topics(with_topics(settings, replication_factor=99))


def test_not_authorised_to_describe(settings: Settings, deny: Deny) -> None:
    """A missing right to see a topic is named together with the topic."""
    deny(ResourceType.TOPIC, settings.topics.state, ACLOperation.DESCRIBE)
    with pytest.raises(Fatal, match=f"Not authorised to describe topic {settings.topics.state}"):
        ensure_topics(settings)


def test_not_authorised_to_create(settings: Settings, deny: Deny) -> None:
    """A missing right to create a topic is named with the topic and what to do instead."""
    deny(ResourceType.CLUSTER, "kafka-cluster", ACLOperation.CREATE)
    deny(ResourceType.TOPIC, settings.topics.state, ACLOperation.CREATE)
    with pytest.raises(Fatal, match=f"Not authorised to create topic {settings.topics.state}"):
        ensure_topics(settings)
