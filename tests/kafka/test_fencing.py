"""Former owners' open transactions, and the changelog behind them, on a real broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Output
from metarec_stream.errors import Fatal
from metarec_stream.kafka.changelog import Changelog
from metarec_stream.kafka.fencing import STALE_S, Fencing
from metarec_stream.kafka.source import KafkaSource
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.kafka.transaction import KafkaTransaction, transactional_id_of
from tests.transport.backends import read_committed, wait_until


@pytest.fixture
def parts() -> Iterator[ExitStack]:
    """What a test opens is closed."""
    with ExitStack() as stack:
        yield stack


def producer(parts: ExitStack, settings: Settings, name: str) -> KafkaTransaction:
    """A process's transactional producer."""
    named = settings.model_copy(update={"instance_id": name})
    return parts.enter_context(closing(KafkaTransaction(named)))


def row(settings: Settings, partition: int, value: bytes) -> Output:
    """A record of the changelog."""
    return Output(settings.topics.state, partition, b"uuser", value)


def test_a_zombie_cannot_tear_a_checkpoint(settings: Settings, parts: ExitStack) -> None:
    """Its open rows hold the changelog's end back; once it is fenced they never show, nor can it
    commit them after the new owner has read on.
    """
    ensure_topics(settings)
    owner = producer(parts, settings, "owner")
    owner.begin()
    owner.send(row(settings, 0, b"whole"))
    owner.commit()
    zombie = producer(parts, settings, "zombie")
    zombie.begin()
    zombie.send(row(settings, 0, b"torn"))
    zombie._producer.flush()
    changelog = parts.enter_context(closing(Changelog(settings)))
    assert not changelog.settled(0)
    fencing = parts.enter_context(closing(Fencing(settings, owner.transactional_id)))
    wait_until(lambda: fencing.fence([0]))
    wait_until(lambda: changelog.settled(0))
    owner.begin()
    owner.send(row(settings, 0, b"newer"))
    owner.commit()
    with pytest.raises(Fatal, match="instance_id"):
        zombie.commit()
    wait_until(lambda: changelog.settled(0))
    found = [each.value for chunk in changelog.read(0, 0) for each in chunk]
    assert found == [b"whole", b"newer"]


def test_the_living_are_left_alone(settings: Settings, parts: ExitStack) -> None:
    """An open transaction on other partitions, or of another group, goes on."""
    ensure_topics(settings)
    other_group = settings.kafka.model_copy(update={"group": "other"})
    neighbour = producer(parts, settings, "neighbour")
    stranger = producer(parts, settings.model_copy(update={"kafka": other_group}), "stranger")
    neighbour.begin()
    neighbour.send(row(settings, 1, b"neighbour"))
    stranger.begin()
    stranger.send(row(settings, 0, b"stranger"))
    for each in (neighbour, stranger):
        each._producer.flush()
    assert parts.enter_context(closing(Fencing(settings, "me"))).fence([0])
    neighbour.commit()
    stranger.commit()
    found = {each.value for each in read_committed(settings, settings.topics.state)}
    assert found == {b"neighbour", b"stranger"}


@pytest.mark.parametrize("member", [True, False])
def test_a_dead_owner_that_had_sent_offsets_alone_is_ended(
    settings: Settings, parts: ExitStack, member: bool
) -> None:
    """They do not say of which partitions: it is ended once it has stayed so for a while, so that
    the committed offset is stable long before the transaction's time limit. A process that is no
    member of the group any more is not waited for as long as one that may only be slow.
    """
    ensure_topics(settings)
    name = transactional_id_of(settings.model_copy(update={"instance_id": "dead"}))
    source = parts.enter_context(
        closing(KafkaSource(settings, lambda _: None, name if member else None))
    )
    wait_until(lambda: bool(source.poll(5, 10)) or bool(source.owned))
    dead = producer(parts, settings, "dead")
    dead.begin()
    dead.send_offsets({0: 1}, source.group_metadata())
    fencing = parts.enter_context(closing(Fencing(settings, "me")))
    started = time.monotonic()
    assert not fencing.fence([0])
    wait_until(lambda: fencing.fence([0]), STALE_S + 8)
    assert (time.monotonic() - started > STALE_S) == member
    assert source.committed(0) is None


def test_an_offset_that_stays_pending_names_the_way_out(
    settings: Settings, parts: ExitStack
) -> None:
    """The brokers answer, and somebody's transaction has it open for longer than anyone waits."""
    ensure_topics(settings)
    hurried = settings.kafka.model_copy(update={"connect_timeout_s": 1.0})
    source = parts.enter_context(
        closing(KafkaSource(settings.model_copy(update={"kafka": hurried}), lambda _: None))
    )
    wait_until(lambda: bool(source.poll(5, 10)) or bool(source.owned))
    stranger = producer(parts, settings, "stranger")
    stranger.begin()
    stranger.send_offsets({0: 1}, source.group_metadata())
    with pytest.raises(Fatal, match=r"interactions/0 .*find-hanging"):
        source.committed(0)
