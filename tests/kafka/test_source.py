"""The input's consumer while its group joins, and beside partitions that are held back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from kafka import KafkaProducer

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.source import KafkaSource
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.kafka.transaction import KafkaTransaction
from tests.transport.backends import wait_until

PROMPT_S = 0.5
"""Longest pause of a partition that nothing has happened to."""


@pytest.fixture
def group(settings: Settings) -> Settings:
    """Settings with topics that exist, and prompt heartbeats."""
    prompt = settings.kafka.model_copy(update={"heartbeat_interval_ms": 200})
    settings = settings.model_copy(update={"kafka": prompt})
    ensure_topics(settings)
    return settings


@pytest.fixture
def parts() -> Iterator[ExitStack]:
    """What a test opens is closed."""
    with ExitStack() as stack:
        yield stack


class Posting:
    """Posts a record to a partition and takes it from a source; how long that took."""

    def __init__(self, parts: ExitStack, settings: Settings) -> None:
        self._topic = settings.topics.interactions
        self._producer = KafkaProducer(**client_options(settings.kafka))
        parts.callback(self._producer.close, timeout=5)

    def seconds(self, source: KafkaSource, partition: int) -> float:
        sent = self._producer.send(self._topic, key=b"k", value=b"v", partition=partition)
        offset = sent.get(timeout=10).offset
        started = time.monotonic()
        taken: list[Record] = []
        while not any(record.offset == offset for record in taken):
            taken.extend(source.poll(50, 100))
            assert time.monotonic() - started < 20, "nothing came"
        return time.monotonic() - started


def member(parts: ExitStack, settings: Settings) -> KafkaSource:
    """A member whose partitions flow as soon as it has them."""
    made: list[KafkaSource] = []

    def resume(change: object) -> None:
        if getattr(change, "kind", "") == "assigned":
            for partition in getattr(change, "partitions", ()):
                made[0].resume(partition, 0)

    made.append(parts.enter_context(closing(KafkaSource(settings, resume))))
    return made[0]


def shared(one: KafkaSource, two: KafkaSource, busy_s: float = 0.0) -> bool:
    """Poll both, which do other things in between; whether each has its part by now."""
    for each in (one, two):
        threading.Event().wait(busy_s)
        each.poll(1 if busy_s else 20, 9)
    return len(one.owned) == len(two.owned) == 1 and one.settled and two.settled


def generation_of(source: KafkaSource) -> int:
    """Of the group, as the member knows it."""
    return int(getattr(source.group_metadata(), "generation_id", 0))


def polling(source: KafkaSource, until: Callable[[], bool]) -> None:
    """Poll until something holds."""
    wait_until(lambda: source.poll(20, 100) is not None and until())


def test_partitions_flow_while_the_group_waits_for_a_member(
    group: Settings, parts: ExitStack
) -> None:
    """A third member joins while the second one does other things: the group is not whole until
    that polls again, and what the first one owns flows all the same. Then everybody has a share.
    """
    one, two = member(parts, group), member(parts, group)
    wait_until(lambda: shared(one, two))
    [mine] = one.owned
    posting = Posting(parts, group)
    posting.seconds(one, mine)
    three = member(parts, group)
    polling(one, lambda: not three.poll(20, 9) and one._join.wanted)
    assert max(posting.seconds(one, mine) for _ in range(5)) < PROMPT_S
    assert not one.settled
    wait_until(
        lambda: (
            bool([each.poll(20, 9) for each in (one, two, three)])
            and all(each.settled for each in (one, two, three))
        )
    )
    assert len(one.owned) + len(two.owned) + len(three.owned) == 2


def test_offsets_are_taken_in_a_generation_that_began_after_the_poll(
    group: Settings, parts: ExitStack
) -> None:
    """A batch that is at work while the group comes to its next generation need not be undone."""
    one, two = member(parts, group), member(parts, group)
    wait_until(lambda: shared(one, two))
    [mine] = one.owned
    sending = parts.enter_context(closing(KafkaTransaction(group)))
    before = generation_of(one)
    three = member(parts, group)
    polling(one, lambda: not three.poll(20, 9) and one._join.wanted)
    one.poll(20, 9)
    wait_until(lambda: not two.poll(20, 9) and generation_of(one) > before)
    assert one._join.wanted
    sending.begin()
    sending.send_offsets({mine: 1}, one.group_metadata())
    sending.commit()
    assert one.committed(mine) == 1


def test_a_held_partition_with_an_unstable_offset_does_not_hold_up_the_others(
    group: Settings, parts: ExitStack
) -> None:
    """A dead owner's transaction has its offsets open: nobody asks for them before the fence."""
    source = parts.enter_context(closing(KafkaSource(group, lambda _: None)))
    polling(source, lambda: len(source.owned) == 2)
    named = group.model_copy(update={"instance_id": "dead"})
    dead = parts.enter_context(closing(KafkaTransaction(named)))
    dead.begin()
    dead.send_offsets({1: 1}, source.group_metadata())
    source.resume(0, 0)
    posting = Posting(parts, group)
    posting.seconds(source, 0)
    assert max(posting.seconds(source, 0) for _ in range(5)) < PROMPT_S
    assert not source._consumer._subscription.missing_fetch_positions()


def test_an_answer_that_comes_while_nobody_polls_is_taken_later(
    group: Settings, parts: ExitStack
) -> None:
    """Two members that poll rarely and shortly settle in as few generations as need be."""
    one, two = member(parts, group), member(parts, group)
    wait_until(lambda: shared(one, two, busy_s=0.3))
    assert 0 < generation_of(one) <= 4
