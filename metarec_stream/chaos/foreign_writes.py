"""What somebody else writes to the service's topics: bad records, rows, half meta versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource
from kafka.errors import KafkaError

from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.meta_version_codec import encode_meta_version
from metarec_stream.errors import Fatal
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.source import reading_options
from metarec_stream.learner.start import built_in_version
from metarec_stream.state.header import HEADER_KEY, Header, decode_header

_LIMIT_S = 30.0
_USER = b"u"

Written = tuple[bytes | None, bytes | None]
"""Key and value."""
Timed = tuple[bytes | None, bytes | None, int | None]
"""Key, value and timestamp, milliseconds; without one it is the broker's time."""


def write(
    settings: Settings, topic: str, records: Iterable[Written], partition: int | None = None
) -> None:
    """Append records, outside any transaction. Raises Fatal if Kafka does not take them."""
    write_at(settings, topic, ((key, value, None) for key, value in records), partition)


def write_at(
    settings: Settings, topic: str, records: Iterable[Timed], partition: int | None = None
) -> None:
    """As `write`, with timestamps."""
    with _asking("writing to " + topic):
        producer = KafkaProducer(
            **client_options(settings.kafka),
            max_request_size=settings.kafka.max_message_bytes,
        )
        try:
            sent = [
                producer.send(topic, key=key, value=value, partition=partition, timestamp_ms=at)
                for key, value, at in records
            ]
            for each in sent:
                each.get(timeout=_LIMIT_S)
        finally:
            producer.close(timeout=_LIMIT_S)


def publish_version(settings: Settings, number: int) -> None:
    """The built-in weights once more, as a version of this number."""
    write(settings, settings.topics.meta, version_records(settings, number))


def version_records(settings: Settings, number: int) -> list[tuple[bytes, bytes]]:
    """The records of such a version, its manifest last."""
    built_in = built_in_version(settings)
    version = MetaVersion(
        version=number, parent=0, adapter=built_in.adapter, items=built_in.items,
        parameters=built_in.parameters,
    )  # fmt: skip
    return encode_meta_version(version)


def header_of(settings: Settings, partition: int) -> Header | None:
    """The newest header in a partition's changelog; None before the first checkpoint."""
    values = [value for _, key, value in _changelog(settings, partition) if key == HEADER_KEY]
    return decode_header(values[-1], f"partition {partition}") if values and values[-1] else None


def users_of(settings: Settings, partition: int) -> Sequence[bytes]:
    """Keys of the users' rows in a partition's changelog, sorted."""
    keys = {key for _, key, value in _changelog(settings, partition) if key and value}
    return sorted(key for key in keys if key.startswith(_USER))


def delete_input(settings: Settings, partition: int, below: int) -> None:
    """Take the input's records below an offset away, as retention would."""
    place = TopicPartition(settings.topics.interactions, partition)
    with _asking("deleting records"), KafkaAdminClient(**client_options(settings.kafka)) as admin:
        admin.delete_records({place: below})


def cut_changelog(settings: Settings, partition: int) -> None:
    """Take everything before the newest header away: rows that it counts are gone.

    Of a topic that is only compacted the brokers delete nothing.
    """
    topic = settings.topics.state
    headers = [at for at, key, _ in _changelog(settings, partition) if key == HEADER_KEY]
    with _asking("deleting records"), KafkaAdminClient(**client_options(settings.kafka)) as admin:
        for policy in ("compact,delete", "compact"):
            changed = ConfigResource("TOPIC", topic, configs={"cleanup.policy": policy})
            admin.alter_configs([changed])
            if policy != "compact":
                admin.delete_records({TopicPartition(topic, partition): headers[-1]})


def _changelog(settings: Settings, partition: int) -> list[tuple[int, bytes | None, bytes | None]]:
    """Offset, key and value of its records."""
    place = TopicPartition(settings.topics.state, partition)
    found: list[tuple[int, bytes | None, bytes | None]] = []
    limit_ms = _LIMIT_S * 1e3
    with (
        _asking("reading " + settings.topics.state),
        KafkaConsumer(**reading_options(settings), group_id=None) as consumer,
    ):
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        end = consumer.end_offsets([place], timeout_ms=limit_ms)[place]
        while (consumer.position(place, timeout_ms=limit_ms) or 0) < end:
            taken = consumer.poll(timeout_ms=200).get(place, [])
            found.extend((record.offset, record.key, record.value) for record in taken)
    return found


@contextmanager
def _asking(what: str) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        raise Fatal(f"{what} failed ({error!r}): see the broker's log, then run again") from error
