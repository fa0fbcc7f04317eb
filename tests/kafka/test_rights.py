"""The list of rights: complete, as the docs print it, and found again in the library's errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    KafkaTimeoutError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)

from metarec_stream.commands.access_list import access_list
from metarec_stream.config import Settings
from metarec_stream.kafka.rights import (
    ROLES,
    Right,
    advice,
    checking_rights,
    consumer_rights,
    creating_rights,
)
from metarec_stream.kafka.settings import KafkaSettings, TopicsSettings

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
ASKED = (
    Right("Write", "topic", "lists"),
    Right("Read", "topic", "lists.dlq"),
    Right("Read", "group", "readers"),
    Right("Write", "transactional-id", "app.", prefixed=True),
)


@pytest.mark.parametrize("role", ["consumer", "learner"])
def test_who_checks_the_topics_may_see_all_of_them(role: str) -> None:
    """None of the topics is left out, and Describe is listed where nothing else implies it."""
    settings = Settings()
    rights = ROLES[role](settings)
    names = [right.name for right in rights if right.kind == "topic"]
    assert set(names) == {right.name for right in checking_rights(settings)}
    for described in (right for right in rights if right.operation == "Describe"):
        assert names.count(described.name) == 1


def test_the_list_follows_the_settings() -> None:
    """Other names of application, group and topics are other rights."""
    settings = Settings(
        application="shop",
        kafka=KafkaSettings(group="night"),
        topics=TopicsSettings(interactions="clicks", dead_letters="broken"),
    )
    rights = consumer_rights(settings)
    assert Right("Read", "topic", "clicks") in rights
    assert Right("Write", "topic", "broken") in rights
    assert Right("Read", "group", "night") in rights
    assert Right("Write", "transactional-id", "shop.night.", prefixed=True) in rights
    assert Right("Create", "topic", "clicks") in creating_rights(settings)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TopicAuthorizationFailedError({"lists"}), "Write on topic lists ("),
        (TopicAuthorizationFailedError("lists.dlq"), "Read on topic lists.dlq ("),
        (TopicAuthorizationFailedError(), "Write on topic lists, Read on topic lists.dlq ("),
        (GroupAuthorizationFailedError("readers"), "Read on group readers ("),
        (
            TransactionalIdAuthorizationFailedError(),
            "Write on every transactional-id that begins with app. (",
        ),
        (
            KafkaError(f"Unexpected error: {GroupAuthorizationFailedError()}"),
            "Read on group readers (",
        ),
    ],
)
def test_a_refusal_names_the_right(error: KafkaError, expected: str) -> None:
    """By the resource that the error names, else by its kind; also where the library wraps it."""
    assert f"grant it {expected}" in advice(error, ASKED, "otherwise")


def test_another_error_is_not_taken_for_a_refusal() -> None:
    """Nor is a refusal of something that the call did not ask for."""
    assert advice(KafkaTimeoutError("lists"), ASKED, "otherwise") == "otherwise"
    refused = GroupAuthorizationFailedError("readers")
    assert advice(refused, ASKED[:2], "otherwise") == "otherwise"


def test_the_page_prints_the_list_of_the_code() -> None:
    """docs/security.md has the table and the commands of `metarec config --access`."""
    printed = access_list(Settings())
    assert printed in PAGE.read_text(encoding="utf-8")
    for rights in ROLES.values():
        for right in rights(Settings()):
            assert f"--{right.kind} {right.name}" in printed
