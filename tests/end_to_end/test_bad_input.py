"""Every bad record that the contract names, in one live stream with good ones around it."""

from __future__ import annotations

import json
from pathlib import Path

import msgpack
import pytest
from kafka import KafkaProducer

from metarec_stream.client.subscriber import RecommendationSubscriber
from metarec_stream.clock import SystemClock
from metarec_stream.commands.config import as_toml
from metarec_stream.config import Settings
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.topics import ensure_topics
from tests.deploy.live import service
from tests.transport.backends import read_committed

NESTED = b"[" * 1_000 + b"]" * 1_000
NOW = SystemClock().now_ms()
DAY_MS = 86_400_000
GOOD = {"user": "ann", "item": "lamp"}


def packed(**fields: object) -> bytes:
    """A MessagePack interaction: a good one with some fields different."""
    return bytes(msgpack.packb({**GOOD, **fields}))


BAD: list[tuple[str, str, bytes | None]] = [
    ("undecodable", "neither", b"\xc1\xff"),
    ("undecodable", "truncated", packed()[:-3]),
    ("undecodable", "brace", b'{"user": "ann"'),
    ("undecodable", "deep", b'{"user": "a", "item": "b", "x": ' + NESTED + b"}"),
    ("undecodable", "null", None),
    ("too-large", "bytes", packed(note="x" * 5_000_000)),
    ("invalid", "user", json.dumps({"item": "lamp"}).encode()),
    ("invalid", "item", packed(item="")),
    ("invalid", "user", packed(user="u" * 257)),
    ("invalid", "value", packed(value=float("nan"))),
    ("invalid", "value", packed(value=float("inf"))),
    ("invalid", "type", packed(type="teleport")),
    ("invalid", "ts", packed(ts="yesterday")),
    ("invalid", "item", packed(item="a\x00b")),
    ("unsupported-version", "v", packed(v=2)),
    ("future", "ts", packed(ts=NOW + DAY_MS)),
    ("late", "ts", packed(ts=NOW - 8 * DAY_MS)),
]
"""Reason, a word of the detail, and the value."""


@pytest.mark.timeout(240)
def test_each_bad_record_becomes_a_dead_letter_and_the_stream_goes_on(
    settings: Settings, tmp_path: Path
) -> None:
    """Its reason and field are named, its bytes are kept, and both good neighbours are answered."""
    settings = settings.model_copy(
        update={
            "emit": "per_event",
            "topics": settings.topics.model_copy(update={"partitions": 1}),
        }
    )
    config = tmp_path / "metarec.toml"
    config.write_text(as_toml(settings, {}))
    ensure_topics(settings)
    producer = KafkaProducer(
        **client_options(settings.kafka), max_request_size=settings.kafka.max_message_bytes
    )
    topic = settings.topics.interactions
    with (
        RecommendationSubscriber(settings.kafka, topics=settings.topics) as subscriber,
        service("serve", config, tmp_path / "serve.log"),
    ):
        for _, _, value in BAD:
            producer.send(topic, packed(ts=NOW), b"ann", partition=0)
            producer.send(topic, value, b"ann", partition=0)
        twice = packed(ts=NOW, event_id="once")
        for value in (twice, twice, packed(ts=NOW)):
            producer.send(topic, value, b"ann", partition=0)
        producer.flush()
        answers = iter(subscriber)
        answered = [next(answers).source.offset for _ in range(len(BAD) + 2)]
    producer.close()
    letters = [
        ({name: text.decode() for name, text in record.headers}, record.value)
        for record in read_committed(settings, settings.topics.dead_letters_topic())
    ]

    assert [headers["metarec-reason"] for headers, _ in letters] == [row[0] for row in BAD]
    for (headers, value), (reason, word, sent) in zip(letters, BAD, strict=True):
        assert value == sent, reason
        assert word in headers["metarec-detail"] or reason == "undecodable", headers
        assert headers["metarec-topic"] == topic
    assert [int(headers["metarec-offset"]) for headers, _ in letters] == list(
        range(1, 2 * len(BAD), 2)
    )
    good = list(range(0, 2 * len(BAD), 2))
    first_of_twice = 2 * len(BAD)
    assert answered == [*good, first_of_twice, first_of_twice + 2]
