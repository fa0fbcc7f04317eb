"""Meta versions to Kafka: one learner at a time, each version in one transaction."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, ProducerFencedError

from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.meta_version_codec import (
    CHUNK_BYTES,
    MANIFEST,
    VersionAssembler,
    encode_meta_version,
    full_version_of,
    parse_key,
    tombstones,
)
from metarec_stream.contract.transport import Record
from metarec_stream.contract.version_delta import delta_between
from metarec_stream.errors import Degraded, Fatal
from metarec_stream.kafka.all_or_none import AllOrNone
from metarec_stream.kafka.all_or_none import Record as Sent
from metarec_stream.kafka.rights import Right, advice, learner_rights
from metarec_stream.kafka.source import reading_options

_POLL_MS = 200
_LOOK_EVERY_S = 0.01
_READ_LIMIT_MS = 10_000

logger = structlog.get_logger()


class VersionLog:
    """What is on the meta topic: the newest version, and which keys belong to which."""

    def __init__(self, settings: Settings) -> None:
        self._partition = TopicPartition(settings.topics.meta, 0)
        self._keys: dict[int, set[bytes]] = {}
        self._full: dict[int, int] = {}
        """By version not yet forgotten: the full one that it is a delta against, or itself."""
        self._consumer = KafkaConsumer(**reading_options(settings), group_id=None)
        self._consumer.assign([self._partition])
        self._consumer.seek_to_beginning(self._partition)

    def newest(self) -> MetaVersion | None:
        """Read on to the end; the last whole version there, None if there is none.

        One that is not whole or not its hash is logged and passed over.
        """
        assembler = VersionAssembler()
        newest = None
        for record in self._new_records():
            try:
                newest = assembler.feed(record.key, record.value) or newest
            except Degraded as refused:
                logger.warning(
                    "meta_version_refused",
                    topic=record.topic,
                    offset=record.offset,
                    reason=str(refused),
                )
        return newest

    def known(self) -> int:
        """The largest version number as of the last reading, 0 if there is none."""
        return max(self._keys, default=0)

    def newest_number(self, at_least: int = 0) -> int:
        """Read on to the end; the largest version number there, 0 if there is none.

        A commit returns a moment before readers see it: waits for version `at_least` to be there.
        """
        deadline = time.monotonic() + _READ_LIMIT_MS / 1e3
        while True:
            for _ in self._new_records():
                pass
            number = self.known()
            if number >= at_least or time.monotonic() > deadline:
                return number
            time.sleep(_LOOK_EVERY_S)

    def keys_until(self, version: int, full: int) -> list[bytes]:
        """The keys not yet forgotten of this version and all before it, as of the last reading.

        Without those of `full`, and of other full versions that later ones are deltas against.
        """
        needed = {full} | {against for number, against in self._full.items() if number > version}
        return [
            key
            for number in sorted(self._keys)
            if number <= version and number not in needed
            for key in sorted(self._keys[number])
        ]

    def close(self) -> None:
        """Give the connection back."""
        self._consumer.close()

    def _new_records(self) -> Iterator[Record]:
        try:
            ends = self._consumer.end_offsets([self._partition], timeout_ms=_READ_LIMIT_MS)
            while self._position() < ends[self._partition]:
                for record in self._poll():
                    self._note(record)
                    yield record
        except KafkaError as error:
            asked = [Right("Read", "topic", self._partition.topic)]
            raise Fatal(
                f"reading {self._partition.topic} failed ({type(error).__name__}: {error}): "
                + advice(error, asked, "check the brokers, then start again")
            ) from error

    def _position(self) -> int:
        return int(self._consumer.position(self._partition, timeout_ms=_READ_LIMIT_MS) or 0)

    def _poll(self) -> list[Record]:
        taken = self._consumer.poll(timeout_ms=_POLL_MS)
        return [record for records in taken.values() for record in records]

    def _note(self, record: Record) -> None:
        with contextlib.suppress(Degraded):  # not of a version; newest() tells of it
            number, part = parse_key(record.key)
            keys = self._keys.pop(number, set())
            (keys.discard if record.value is None else keys.add)(record.key or b"")
            if keys:
                self._keys[number] = keys
            if part == MANIFEST:
                self._full.pop(number, None)
                if record.value is not None:
                    self._full[number] = full_version_of(number, record.value)


class Publisher:
    """The only one that publishes under the application's name: another learner is fenced.

    Raises Fatal when another learner has taken over, or the brokers do not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topics.meta
        self._rights = [right for right in learner_rights(settings) if right.operation == "Write"]
        self._keep = settings.learn.keep_versions
        self._chunk_bytes = min(CHUNK_BYTES, settings.kafka.max_message_bytes - 1_024)
        self._id = f"{settings.application}.learner"
        self._transactions = AllOrNone(settings, self._id, self._fatal)
        self._log = VersionLog(settings)
        self.newest = self._log.newest()
        """The last whole version on the topic when this learner started."""
        self._full: MetaVersion | None = None
        """The newest full version of this learner's: the first it publishes is one."""
        self.newest_number = self._log.known()
        """The largest version number on the topic, as far as this learner knows."""

    def publish(self, version: MetaVersion) -> None:
        """Publish a version and forget the one `learn.keep_versions` before it, in one transaction.

        It goes as a delta where that is worth it; the full version that newer ones are against is
        not forgotten. Raises Fatal if another version came onto the topic since: the parent would
        not be newest.
        """
        found = self._log.newest_number(at_least=self.newest_number)
        if found != self.newest_number:
            raise Fatal(
                f"meta version {found} came onto {self._topic} from elsewhere while this learner "
                f"was at {self.newest_number}: see that one learner runs, then start this one "
                "again; it goes on from the newest version"
            )
        delta = None if self._full is None else delta_between(self._full, version)
        full = version.version if delta is None else delta.full
        records = encode_meta_version(version, self._chunk_bytes, delta)
        forgotten = tombstones(self._log.keys_until(version.version - self._keep, full))
        self._transactions.send(
            f"meta version {version.version}",
            [self._record(key, value) for key, value in [*records, *forgotten]],
        )
        self.newest_number = version.version
        if delta is None:
            self._full = version
        size = sum(len(value) for _, value in records)
        logger.debug("meta_version_sent", version=version.version, full=full, bytes=size)

    def close(self) -> None:
        """Give the connections back; an open transaction is left to the next learner to end."""
        self._transactions.close()
        self._log.close()

    def _record(self, key: bytes, value: bytes | None) -> Sent:
        return {"topic": self._topic, "key": key, "value": value, "partition": 0}

    def _fatal(self, doing: str, error: Exception) -> Fatal:
        if isinstance(error, ProducerFencedError):
            what = (
                "another learner of the same application has taken over; leave it running, or "
                "stop it and start this one again, or set METAREC_APPLICATION"
            )
        else:
            what = advice(error, self._rights, "check the brokers, then start again")
        said = f"{type(error).__name__}: {error}"
        return Fatal(f"{doing} failed on {self._topic} as {self._id} ({said}): {what}")
