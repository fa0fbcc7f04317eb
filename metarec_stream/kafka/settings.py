"""Settings of the connection to Kafka and of the topics."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from metarec_stream.section import Section

_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


class KafkaSettings(Section):
    """How to reach the brokers, and how the consumer's group behaves."""

    bootstrap_servers: str = "localhost:9092"
    """Comma-separated host:port of some of the brokers."""
    group: str = "metarec"
    """Consumer group of `metarec serve`; its members share the partitions."""
    guarantee: Literal["exactly-once", "at-least-once"] = "exactly-once"
    """`at-least-once` publishes without transactions: events are learned once all the same, but
    after a crash or a rebalance the answers of the last batch may come twice."""
    session_timeout_ms: int = Field(6_000, ge=3_000, le=300_000)
    """A consumer not heard of for this long loses its partitions."""
    heartbeat_interval_ms: int = Field(500, ge=100)
    """Between two signs of life to the group's coordinator; a member hears of a rebalance by the
    answer to one."""
    max_poll_interval_ms: int = Field(300_000, ge=1_000)
    """A consumer that does not poll for this long loses its partitions."""
    transaction_timeout_ms: int = Field(15_000, ge=1_000)
    """The broker aborts a transaction that stays open for this long."""
    connect_timeout_s: float = Field(60.0, gt=0)
    """How long a start waits for the brokers, retrying with back-off, before it ends."""
    fetch_bytes: int = Field(1024 * 1024, ge=64 * 1024, le=64 * 1024 * 1024)
    """Most bytes that a consumer fetches of a partition ahead of its batches, as they come over the
    wire; a larger batch of a producer comes whole. Received and taken apart they take about four
    times that. Input that is faster than a process waits at the brokers."""
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = "lz4"
    """Compression of what is produced."""
    max_message_bytes: int = Field(8 * 1024 * 1024, ge=64 * 1024)
    """Largest record that is produced; the topics are created with it."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Transport of the connection."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """How the client proves who it is, with a SASL protocol."""
    sasl_username: str | None = None
    """User name for SASL."""
    sasl_password: SecretStr | None = None
    """Password for SASL."""
    sasl_password_file: Path | None = None
    """File that holds the password for SASL; instead of `sasl_password`."""
    ssl_cafile: Path | None = None
    """Certificate authority that signed the brokers' certificates."""
    ssl_certfile: Path | None = None
    """This client's certificate, for mutual TLS."""
    ssl_keyfile: Path | None = None
    """This client's private key, for mutual TLS."""

    @model_validator(mode="after")
    def _heartbeats_fit(self) -> Self:
        if self.heartbeat_interval_ms * 2 > self.session_timeout_ms:
            raise ValueError("heartbeat_interval_ms must be at most half of session_timeout_ms")
        return self


class TopicsSettings(Section):
    """Names of the topics, and how missing ones are created."""

    interactions: str = "interactions"
    """Input: what users did."""
    recommendations: str = "recommendations"
    """Output: ranked lists."""
    dead_letters: str | None = None
    """Output: rejected records; `<interactions>.dlq` if absent."""
    tasks: str = "metarec.tasks"
    """From the consumers to the learner: what was true as of the events, and what came."""
    state: str = "metarec.state"
    """Changelog of the users' state."""
    items: str = "items"
    """Input: the catalogue."""
    users: str = "users"
    """Input: user profiles."""
    meta: str = "metarec.meta"
    """From the learner to the consumers: meta versions."""
    receipts: str = "metarec.receipts"
    """Output: what was forgotten of users at their `erase`."""
    create: bool = True
    """Whether whoever comes first creates missing topics."""
    partitions: int = Field(4, ge=1, le=10_000)
    """Partitions of the topics that follow the input's, when they are created."""
    replication_factor: int = Field(1, ge=1)
    """Replicas of each partition, when topics are created; 3 in production."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = (*self.partitioned(), *self.single())
        for name in names:
            if not _TOPIC_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no topic name: letters, digits, '.', '_' and '-'")
        if len(set(names)) < len(names):
            raise ValueError("every topic must have a name of its own")
        return self

    def dead_letters_topic(self) -> str:
        """The dead letters' topic name."""
        return self.dead_letters or f"{self.interactions}.dlq"

    def partitioned(self) -> tuple[str, ...]:
        """Topics that have as many partitions as the input, numbered alike."""
        return (
            self.interactions,
            self.recommendations,
            self.dead_letters_topic(),
            self.tasks,
            self.state,
        )

    def single(self) -> tuple[str, ...]:
        """Compacted topics of one partition."""
        return (self.items, self.users, self.meta, self.receipts)
