"""The demo's topics: names of its own on brokers that are not its own, and what was published."""

from __future__ import annotations

from typing import Any

import structlog
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from metarec_stream.config import Settings
from metarec_stream.contract.meta_version_codec import MANIFEST, parse_key
from metarec_stream.kafka.connection import client_options

_log = structlog.get_logger()


def with_own_names(settings: Settings, prefix: str) -> Settings:
    """The settings with application, group and all topics named apart, so that nothing is mixed."""
    topics = settings.topics
    single = ("items", "users", "meta", "receipts")
    names = {
        name: f"{prefix}.{getattr(topics, name)}"
        for name in ("interactions", "recommendations", "tasks", "state", *single)
    }
    names["dead_letters"] = f"{prefix}.{topics.dead_letters_topic()}"
    return settings.model_copy(
        update={
            "application": prefix,
            "topics": topics.model_copy(update=names),
            "kafka": settings.kafka.model_copy(update={"group": prefix}),
        }
    )


def delete_topics(settings: Settings) -> None:
    """Delete the settings' topics; what cannot be deleted is warned about by name."""
    wanted = {*settings.topics.partitioned(), *settings.topics.single()}
    try:
        admin: Any = KafkaAdminClient(**client_options(settings.kafka))
        try:
            there = sorted(wanted.intersection(admin.list_topics()))
            if there:
                admin.delete_topics(there)
        finally:
            admin.close()
    except KafkaError as error:
        _log.warning("demo_topics_left", topics=sorted(wanted), error=str(error))


def published_versions(settings: Settings) -> list[int]:
    """The meta versions whose manifest is on `topics.meta`, in the order of their publication."""
    consumer: Any = KafkaConsumer(
        **client_options(settings.kafka),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
    )
    try:
        partition = TopicPartition(settings.topics.meta, 0)
        consumer.assign([partition])
        end = consumer.end_offsets([partition])[partition]
        versions = []
        while consumer.position(partition) < end:
            for record in consumer.poll(timeout_ms=500).get(partition, []):
                version, part = parse_key(record.key)
                if part == MANIFEST and record.value is not None and version > 0:
                    versions.append(version)
        return versions
    finally:
        consumer.close(autocommit=False)
