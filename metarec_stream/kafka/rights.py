"""What each program has to be allowed on brokers with access control, and what a refusal asks for.

The one source of the list in docs/security.md. Read and Write imply Describe in Kafka's authorizer,
so that Describe is listed only where neither is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from kafka.errors import (
    AuthorizationError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)

from metarec_stream.config import Settings

Operation = Literal["Read", "Write", "Create", "Describe"]
Kind = Literal["topic", "group", "transactional-id"]

_REFUSALS: Mapping[type[AuthorizationError], Kind] = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    TransactionalIdAuthorizationFailedError: "transactional-id",
}


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One entry of an access control list: an operation on a resource, to be allowed."""

    operation: Operation
    kind: Kind
    name: str
    prefixed: bool = False
    """Whether the name is the beginning of the names of all resources that are meant."""

    def __str__(self) -> str:
        meant = f"every {self.kind} that begins with" if self.prefixed else self.kind
        return f"{self.operation} on {meant} {self.name}"


def consumer_rights(settings: Settings) -> tuple[Right, ...]:
    """Of `metarec serve`: reads, learns, answers.

    Its transactional ids have a prefix in common, for a process draws its own where it has no
    `instance_id`, and ends the open transactions of dead ones.
    """
    topics, group = settings.topics, settings.kafka.group
    read = (topics.interactions, topics.items, topics.users, topics.meta, topics.state)
    outputs = (topics.recommendations, topics.dead_letters_topic(), topics.tasks)
    written = (*outputs, topics.state, topics.receipts)
    return (
        *_on_topics("Read", read),
        *_on_topics("Write", written),
        Right("Read", "group", group),
        Right("Write", "transactional-id", f"{settings.application}.{group}.", prefixed=True),
    )


def learner_rights(settings: Settings) -> tuple[Right, ...]:
    """Of `metarec learn`: reads tasks, publishes meta versions, and checks that all topics fit."""
    topics = settings.topics
    own = (
        Right("Read", "topic", topics.tasks),
        Right("Read", "topic", topics.receipts),
        Right("Read", "topic", topics.meta),
        Right("Write", "topic", topics.meta),
        Right("Write", "transactional-id", f"{settings.application}.learner"),
    )
    used = {right.name for right in own}
    return (*own, *(right for right in checking_rights(settings) if right.name not in used))


def producer_rights(settings: Settings) -> tuple[Right, ...]:
    """Of `InteractionProducer`: posts interactions and announces items."""
    return _on_topics("Write", (settings.topics.interactions, settings.topics.items))


def subscriber_rights(settings: Settings) -> tuple[Right, ...]:
    """Of `RecommendationSubscriber` and `metarec tail`; they belong to no group."""
    return _on_topics("Read", (settings.topics.recommendations,))


def verify_rights(settings: Settings) -> tuple[Right, ...]:
    """Of `metarec verify`: reads the input and what came of it, and where the group stands."""
    topics = settings.topics
    outputs = (topics.recommendations, topics.dead_letters_topic(), topics.state)
    return (
        *_on_topics("Read", (topics.interactions, *outputs)),
        Right("Describe", "group", settings.kafka.group),
    )


def dlq_rights(settings: Settings) -> tuple[Right, ...]:
    """Of `metarec dlq`: reads dead letters, and to replay them reads and writes the input.

    `list` and `show` need the first alone.
    """
    topics = settings.topics
    return (
        Right("Read", "topic", topics.dead_letters_topic()),
        Right("Read", "topic", topics.interactions),
        Right("Write", "topic", topics.interactions),
        Right("Write", "transactional-id", dlq_transactional_id(settings)),
    )


def dlq_transactional_id(settings: Settings) -> str:
    """Of the one replay of dead letters that may run at a time."""
    return f"{settings.application}.dlq"


def checking_rights(settings: Settings) -> tuple[Right, ...]:
    """Of whoever checks the topics at a start: `serve`, `learn` and `produce`."""
    return _on_topics("Describe", _every_topic(settings))


def creating_rights(settings: Settings) -> tuple[Right, ...]:
    """Of whoever comes first, where `topics.create` is on and topics are missing."""
    return _on_topics("Create", _every_topic(settings))


ROLES: Mapping[str, Callable[[Settings], tuple[Right, ...]]] = {
    "consumer": consumer_rights,
    "learner": learner_rights,
    "producer": producer_rights,
    "subscriber": subscriber_rights,
    "verify": verify_rights,
    "dlq": dlq_rights,
}
"""The minimal list of each program, on topics that exist."""


def advice(error: BaseException, asked: Iterable[Right], otherwise: str) -> str:
    """What the operator does about an error: grant the right that it says is missing, or otherwise.

    asked: the rights that the failed call makes use of.
    """
    kind = _refused_kind(error)
    missing = [right for right in asked if right.kind == kind]
    named = [right for right in missing if right.name in _names_in(error)] or missing
    if not named:
        return otherwise
    rights = ", ".join(str(right) for right in named)
    return (
        f"the brokers refuse this client a right: grant it {rights} (docs/security.md has the "
        "whole list), then start again"
    )


def _refused_kind(error: BaseException) -> Kind | None:
    """Of which kind the resource is that was refused; None if the error is no refusal.

    kafka-python 3.0.12 wraps some refusals in an error that has only their text.
    """
    for refusal, kind in _REFUSALS.items():
        if refusal.__name__ in str(error):
            return kind
    return None


def _names_in(error: BaseException) -> set[str]:
    """The resources that a refusal names: some carry a set of them, some a name, some nothing."""
    named = error.args[0] if error.args else ()
    return set(named) if isinstance(named, set) else {str(named)}


def _every_topic(settings: Settings) -> tuple[str, ...]:
    return (*settings.topics.partitioned(), *settings.topics.single())


def _on_topics(operation: Operation, names: Iterable[str]) -> tuple[Right, ...]:
    return tuple(Right(operation, "topic", name) for name in names)
