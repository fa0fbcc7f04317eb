"""The topics of section 3 of the wire contract: made where missing, checked where there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from kafka import KafkaAdminClient
from kafka.errors import (
    KafkaError,
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.kafka.connection import client_options, wait_for_brokers
from metarec_stream.kafka.rights import Right

_MEBIBYTE = 1024 * 1024
_QUICKLY_COMPACTED = {
    "segment.bytes": str(64 * 1024 * 1024),
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": "600000",
}
"""A version every few seconds, of which a start needs the newest: by default Kafka would keep a day
of them, for it never compacts the segment that is written, of 1 GiB or 7 days."""
_BATCH_OVERHEAD_BYTES = 1024
_VISIBLE_WITHIN_MS = 30_000

_log = structlog.get_logger()


def ensure_topics(settings: Settings) -> int:
    """Create what is missing, check what is there, and return the input's partition count.

    Raises Fatal if the brokers stay away, if topics are missing and may not be created, if
    partition counts differ, or if a right is missing; the message names the setting or the topic.
    """
    wait_for_brokers(settings.kafka)
    names = (*settings.topics.partitioned(), *settings.topics.single())
    try:
        with KafkaAdminClient(**client_options(settings.kafka)) as admin:
            existing = partition_counts(admin, names)
            wanted = existing.get(settings.topics.interactions, settings.topics.partitions)
            _check_counts(settings, existing, wanted)
            missing = [name for name in names if name not in existing]
            if missing:
                _create(admin, settings, missing, wanted)
                admin.wait_for_topics(list(names), _VISIBLE_WITHIN_MS)
                existing = partition_counts(admin, names)
                wanted = existing[settings.topics.interactions]
                _check_counts(settings, existing, wanted)
            return wanted
    except KafkaError as error:
        raise Fatal(
            f"The topics on {settings.kafka.bootstrap_servers} cannot be checked ({error}): see "
            "that the brokers are well, and start again."
        ) from error


def partition_counts(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """How many partitions each of the topics has that exist. Raises Fatal without the right."""
    counts: dict[str, int] = {}
    for topic in admin.describe_topics(list(names)):
        error = for_code(topic["error_code"])
        if error is NoError:
            counts[topic["name"]] = len(topic["partitions"])
        elif error is TopicAuthorizationFailedError:
            raise Fatal(
                f"Not authorised to describe topic {topic['name']}: grant this client "
                f"{Right('Describe', 'topic', topic['name'])}, which Read and Write imply "
                "(docs/security.md has the whole list), or correct its name under METAREC_TOPICS__."
            )
        elif error is not UnknownTopicOrPartitionError:
            raise error(f"describing topic {topic['name']}")
    return counts


def _check_counts(settings: Settings, existing: Mapping[str, int], wanted: int) -> None:
    topics = settings.topics
    for name in topics.partitioned():
        if existing.get(name, wanted) != wanted:
            state = "has" if topics.interactions in existing else "would get"
            raise Fatal(
                f"Topic {name} has {existing[name]} partitions and {topics.interactions} {state} "
                f"{wanted}; they must be equal, for what a partition's records produce goes to the "
                "partition of the same number. Delete one of the two or add partitions to the "
                "smaller, or set METAREC_TOPICS__ to other names or METAREC_TOPICS__PARTITIONS."
            )
    for name in topics.single():
        if existing.get(name, 1) != 1:
            raise Fatal(
                f"Topic {name} has {existing[name]} partitions and must have 1: delete it, or set "
                "METAREC_TOPICS__ to another name."
            )


def _create(
    admin: KafkaAdminClient, settings: Settings, missing: Sequence[str], partitions: int
) -> None:
    """Create topics; that another process was quicker is as good."""
    if not settings.topics.create:
        raise Fatal(
            f"Topic {', '.join(missing)} is missing and METAREC_TOPICS__CREATE is false: create "
            f"it (METAREC_TOPICS__PARTITIONS would give {partitions} partitions), or set "
            "METAREC_TOPICS__CREATE=true."
        )
    wanted = {name: _definition(settings, name, partitions) for name in missing}
    answer = admin.create_topics(wanted, raise_errors=False)
    for topic in answer["topics"]:
        error = for_code(topic["error_code"])
        if error is NoError:
            _log.info("topic_created", topic=topic["name"], **_plain(wanted[topic["name"]]))
        elif error is not TopicAlreadyExistsError:
            raise Fatal(_not_created(settings, topic["name"], error, topic.get("error_message")))


def _definition(settings: Settings, name: str, partitions: int) -> dict[str, Any]:
    """The options with which kafka-python creates a topic."""
    largest = settings.kafka.max_message_bytes + _BATCH_OVERHEAD_BYTES
    single = name in settings.topics.single()
    return {
        "num_partitions": 1 if single else partitions,
        "replication_factor": settings.topics.replication_factor,
        "configs": {
            "cleanup.policy": "compact" if name in _compacted(settings) else "delete",
            "max.message.bytes": str(-(-largest // _MEBIBYTE) * _MEBIBYTE),
            **(_QUICKLY_COMPACTED if name == settings.topics.meta else {}),
        },
    }


def _compacted(settings: Settings) -> tuple[str, ...]:
    topics = settings.topics
    latest = (topics.recommendations,) if settings.output.latest else ()
    return (*topics.single(), topics.state, *latest)


def _plain(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "partitions": definition["num_partitions"],
        "cleanup": definition["configs"]["cleanup.policy"],
    }


def _not_created(
    settings: Settings, name: str, error: type[KafkaError], message: str | None
) -> str:
    if error is TopicAuthorizationFailedError or "Authorization" in error.__name__:
        return (
            f"Not authorised to create topic {name}: grant this client "
            f"{Right('Create', 'topic', name)}, or create the topics yourself and set "
            "METAREC_TOPICS__CREATE=false."
        )
    return (
        f"Topic {name} cannot be created ({message or error.__name__}): correct "
        f"METAREC_TOPICS__REPLICATION_FACTOR={settings.topics.replication_factor}, "
        f"METAREC_TOPICS__PARTITIONS={settings.topics.partitions} or the topic's name."
    )
