"""Versions and items come from their topics on threads, and never hold the main loop up."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from kafka import KafkaProducer
from prometheus_client import CollectorRegistry

from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.meta_version_codec import encode_meta_version
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Degraded, Fatal
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.memory.log import MemoryRecord
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.live_version import PreparedVersion
from metarec_stream.pipeline.recommender import Prepared
from metarec_stream.service.catalogue_feed import CHUNKS, CatalogueFeed
from metarec_stream.service.follower import TopicFollower
from metarec_stream.service.versions import VersionFeed
from tests.transport.backends import wait_until


def version(number: int) -> MetaVersion:
    """A version of one small table."""
    return MetaVersion(
        version=number,
        parent=number - 1,
        adapter="value-sum",
        items=["a"],
        parameters={"bias": np.full(1, number, np.float32)},
    )


def records_of(number: int, spoil: bool = False) -> list[MemoryRecord]:
    """The records of a version on the topic; spoiled, one byte of its first chunk differs."""
    pairs = encode_meta_version(version(number))
    if spoil:
        key, chunk = pairs[0]
        pairs[0] = (key, bytes([chunk[0] ^ 1]) + chunk[1:])
    return [MemoryRecord("meta", 0, at, 0, key, value) for at, (key, value) in enumerate(pairs)]


class Versions:
    """A feed whose thread is not started, and what it has prepared."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.registry = CollectorRegistry()
        self.feed = VersionFeed(Settings(), self._prepare, ConsumerMetrics(self.registry))

    def refused(self) -> float | None:
        return self.registry.get_sample_value("metarec_meta_versions_refused_total")

    def taken(self) -> int | None:
        prepared = self.feed.take()
        return None if prepared is None else prepared.version.version

    def _prepare(self, version: MetaVersion) -> Prepared:
        self.asked.append(version.version)
        if version.version == 13:
            raise Degraded("another number of dimensions")
        return PreparedVersion(version=version, slow=None, rows={}, items=0)  # type: ignore[arg-type]


def test_a_version_is_prepared_as_it_comes_and_taken_once() -> None:
    """The slot is empty until a whole version is there, and after it was taken."""
    versions = Versions()
    versions.feed.follower.caught_up.set()
    versions.feed.feed(records_of(1)[:-1])
    assert versions.taken() is None
    versions.feed.feed(records_of(1)[-1:])
    assert versions.taken() == 1
    assert versions.taken() is None


def test_the_slot_keeps_the_newest_that_was_not_taken() -> None:
    """A loop that is busy misses versions in between, not the last one."""
    versions = Versions()
    versions.feed.follower.caught_up.set()
    versions.feed.feed(records_of(1))
    versions.feed.feed(records_of(2))
    assert versions.taken() == 2


def test_a_bad_version_is_refused_and_the_stream_of_versions_goes_on() -> None:
    """Wrong hash, missing chunks, or one that does not fit: each is counted."""
    versions = Versions()
    versions.feed.follower.caught_up.set()
    versions.feed.feed(records_of(1, spoil=True))
    assert versions.refused() == 1
    versions.feed.feed(records_of(2)[1:])
    assert versions.refused() == 2
    versions.feed.feed(records_of(13))
    assert versions.refused() == 3
    assert versions.taken() is None
    versions.feed.feed(records_of(3))
    assert versions.taken() == 3


def test_items_wait_for_the_loop_within_bounds() -> None:
    """The thread stops reading when the loop does not take, and ends when it is told to."""
    feed = CatalogueFeed(Settings())
    chunk = [MemoryRecord("items", 0, 0, 0, b"a", None)]
    for _ in range(CHUNKS):
        feed.put(chunk)
    waiting = threading.Thread(target=feed.put, args=(chunk,), daemon=True)
    waiting.start()
    waiting.join(timeout=0.3)
    assert waiting.is_alive()
    assert feed.take() == chunk
    waiting.join(timeout=5)
    assert not waiting.is_alive()
    feed.follower.stopped.set()
    feed.put(chunk)
    assert [len(feed.take()) for _ in range(CHUNKS + 1)] == [1] * CHUNKS + [0]


def post(settings: Settings, *values: bytes) -> None:
    """Put records on the topic of items."""
    producer = KafkaProducer(**client_options(settings.kafka))
    for value in values:
        producer.send(settings.topics.items, key=value, value=value)
    producer.flush(timeout=10)
    producer.close(timeout=5)


def test_a_topic_is_followed_from_its_beginning_and_on(settings: Settings) -> None:
    """Caught up means that everything was handled that was there; then it goes on."""
    ensure_topics(settings)
    post(settings, b"a", b"b")
    seen: list[bytes | None] = []
    seen_when_caught_up: list[int] = []

    def handle(records: Sequence[Record]) -> None:
        seen.extend(record.value for record in records)

    follower = TopicFollower(
        settings,
        settings.topics.items,
        handle,
        lambda: seen_when_caught_up.append(len(seen)),
    )
    follower.start()
    assert follower.caught_up.wait(20)
    assert seen_when_caught_up == [2]
    post(settings, b"c")
    wait_until(lambda: seen == [b"a", b"b", b"c"])
    follower.check()
    follower.close()


def test_a_follower_that_ends_by_itself_ends_the_process(settings: Settings) -> None:
    """The main loop is told where and why."""
    ensure_topics(settings)
    post(settings, b"a")

    def handle(records: Sequence[Record]) -> None:
        raise ValueError(f"cannot take {len(records)}")

    follower = TopicFollower(settings, settings.topics.items, handle)
    follower.start()

    def ended() -> bool:
        try:
            follower.check()
        except Fatal:
            return True
        return False

    wait_until(ended)
    with pytest.raises(Fatal, match=rf"{settings.topics.items}.*ValueError: cannot take 1"):
        follower.check()
    assert not follower.caught_up.is_set()
    follower.close()
