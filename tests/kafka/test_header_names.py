"""Records whose header names are bytes that are no text."""

from __future__ import annotations

from contextlib import closing

import pytest
from kafka import KafkaProducer

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.header_names import HeaderName
from metarec_stream.kafka.source import KafkaSource
from metarec_stream.kafka.topics import ensure_topics
from tests.transport.backends import read_committed, wait_until

NAME = b"\xff\xfename"


@pytest.mark.parametrize("compression", [None, "lz4"])
def test_a_record_with_such_a_name_is_read_like_any_other(
    settings: Settings, compression: str | None
) -> None:
    """It and those around it in its batch come in order, and its bytes can be sent on."""
    ensure_topics(settings)
    topic = settings.topics.interactions
    options = {**client_options(settings.kafka), "compression_type": compression}
    with closing(KafkaProducer(**options, linger_ms=100)) as producer:
        producer.send(topic, key=b"k", value=b"0", headers=[("h", b"\xff")], partition=0)
        bad = [("first", b"1"), (HeaderName.of(NAME), b"2")]
        producer.send(topic, key=b"k", value=b"1", headers=bad, partition=0)
        producer.send(topic, key=b"k", value=b"2", headers=[("last", b"")], partition=0)
        producer.flush(timeout=10)
    taken: list[Record] = []
    assigned: list[int] = []
    with closing(KafkaSource(settings, lambda to: assigned.extend(to.partitions))) as source:
        wait_until(lambda: not source.poll(20, 9) and 0 in assigned)
        source.resume(0, 0)

        def all_taken() -> bool:
            taken.extend(source.poll(50, 10))
            return len(taken) == 3

        wait_until(all_taken)
    assert [record.value for record in taken] == [b"0", b"1", b"2"]
    assert taken[0].headers == [("h", b"\xff")]
    name, content = taken[1].headers[1]
    assert (name, content) == ("\\xff\\xfename", b"2")
    with closing(KafkaProducer(**options)) as producer:
        letter = settings.topics.dead_letters_topic()
        producer.send(letter, key=b"k", value=b"", headers=list(taken[1].headers), partition=0)
        producer.flush(timeout=10)
    [sent_on] = read_committed(settings, letter)
    assert [each.encode() for each, _ in sent_on.headers] == [b"first", NAME]


def test_it_can_be_shown_and_gives_its_bytes_back() -> None:
    """Text that any log takes; `encode` is what the library calls to send it."""
    name = HeaderName.of(b"caf\xe9")
    assert name == "caf\\xe9"
    assert str(name).isprintable()
    assert name.encode("utf-8") == b"caf\xe9"
