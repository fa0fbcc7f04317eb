"""A consumer over the in-memory log, with faults to order, and what its state should be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal
from unittest.mock import patch

from prometheus_client import CollectorRegistry

from metarec_stream import crash_points
from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.catalogue.settings import CatalogueSettings
from metarec_stream.clock import ManualClock
from metarec_stream.config import Settings
from metarec_stream.contract.transport import Aborted, Output, Record, Refused, Uncertain
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.memory.history import MemoryHistory
from metarec_stream.memory.log import MemoryLog
from metarec_stream.memory.source import MemorySource
from metarec_stream.memory.transaction import MemoryTransaction
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.batch import Batches
from metarec_stream.pipeline.checkpoint import Checkpoints
from metarec_stream.pipeline.cold_users import ColdUsers
from metarec_stream.pipeline.recommender import Recommender
from metarec_stream.pipeline.settings import BatchSettings, GuardSettings
from metarec_stream.service.takeover import Takeover
from metarec_stream.state.digest import Digest
from metarec_stream.state.header import HEADER_KEY, Header, decode_header, segment_key
from metarec_stream.state.row import USER_KEY, encode_rows, user_key
from metarec_stream.state.row_store import RowStore
from metarec_stream.state.settings import StateSettings

SETTINGS = Settings(
    emit="per_event",
    batch=BatchSettings(max_records=8),
    guard=GuardSettings(event_ids=5, lateness_s=60.0),
    state=StateSettings(ring=4, checkpoint_every_s=1.0, ttl_s=60.0),
    catalogue=CatalogueSettings(neighbours=8),
    value_sum=ValueSumSettings(dimensions=4, window=4),
    learn=LearnSettings(strongest=4, random=2),
)
INPUT = SETTINGS.topics.interactions
NOW = 1_700_000_000_000

Fault = Literal[
    "abort at offsets", "abort at send", "abort at commit", "refuse", "commit lost",
    "commit done unheard", "crash at offsets", "crash at send", "crash before commit",
    "crash after commit",
]  # fmt: skip
FAULTS: tuple[Fault, ...] = Fault.__args__  # type: ignore[attr-defined]


class Crash(BaseException):
    """The process is killed here."""


@contextmanager
def killed_at(point: str, passes: int) -> Iterator[None]:
    """Crash where this crash point is passed for the n-th time."""
    left = iter(range(passes - 1, -1, -1))

    def die() -> None:
        if next(left, None) == 0:
            raise Crash

    with patch.multiple(crash_points, _name=point, _die=die):
        yield


class FaultyTransaction(MemoryTransaction):
    """Fails once, in the way and at the step that `fault` says."""

    fault: Fault | None = None
    sends_first = 0
    """Records that are sent before a fault at sending."""
    meanwhile: Callable[[], None] | None = None
    """What happens elsewhere before the commit."""

    def send_offsets(self, offsets: Mapping[int, int], group_metadata: object) -> None:
        super().send_offsets(offsets, group_metadata)
        self._at("offsets")

    def send(self, output: Output) -> None:
        super().send(output)
        self.sends_first -= 1
        if self.sends_first < 0:
            self._at("send")

    def commit(self) -> None:
        if self.meanwhile is not None:
            self.meanwhile()
        if self._is("refuse"):
            raise Refused("a record is refused")
        if self._is("commit lost"):
            raise Uncertain("no answer")
        if self._is("crash before commit"):
            raise Crash
        self._at("commit")
        super().commit()
        if self._is("commit done unheard"):
            raise Uncertain("no answer")
        if self._is("crash after commit"):
            raise Crash

    def _at(self, step: str) -> None:
        if self._is(f"abort at {step}"):
            raise Aborted(f"aborted at {step}")
        if self._is(f"crash at {step}"):
            raise Crash

    def _is(self, fault: str) -> bool:
        if self.fault != fault:
            return False
        self.fault = None
        return True


class CountedHistory(MemoryHistory):
    """Counts the records of the changelog."""

    read = 0

    def changelog(self, partition: int, first: int) -> Iterator[Sequence[Record]]:
        for records in super().changelog(partition, first):
            self.read += len(records)
            yield records


class Process:
    """One consumer that owns all partitions of the log; started, it has taken them over."""

    made = 0

    def __init__(self, log: MemoryLog, settings: Settings, store: RowStore | None = None) -> None:
        """`store`: for those beyond `state.max_hot_users`."""
        Process.made += 1
        self.log = log
        self.settings = settings
        self.clock = ManualClock(NOW)
        topics, group = settings.topics, settings.kafka.group
        self.registry = CollectorRegistry()
        metrics = ConsumerMetrics(self.registry)
        self.recommender = Recommender(settings, metrics, self.clock, store=store)
        hard = self.recommender.hard
        self.checkpoints = Checkpoints(hard, self.recommender.items, metrics, self.clock)
        self.source = MemorySource(log, topics.interactions, group)
        self.transaction = FaultyTransaction(log, topics.interactions, f"id.{Process.made}")
        self.degraded: list[tuple[str, int]] = []
        history = CountedHistory(log, topics.interactions, topics.state, group)
        self.takeover = Takeover(
            settings, self.recommender, history, metrics, self.clock, self.source.resume,
            lambda what, partition, text: self.degraded.append((what, partition)),
        )  # fmt: skip
        self.takeover.add(tuple(range(log.partitions)))
        self.takeover.step()
        assert not self.takeover.waiting
        self.records_read = history.read
        """Of the changelog, when it took over."""
        self.rows_read = self.registry.get_sample_value("metarec_restored_users_total")
        self._batches = Batches(
            self.source, self.transaction, self.recommender, self.checkpoints, settings, metrics,
            self.clock,
        )  # fmt: skip

    def batch(self, fault: Fault | None = None, seconds: float = 0.01, sends_first: int = 0) -> int:
        """Raises Crash where the fault says so; seconds pass before it."""
        self.clock.advance(round(seconds * 1e3))
        self.transaction.fault, self.transaction.sends_first = fault, sends_first
        try:
            return self._batches.run()
        finally:
            self.transaction.fault = None

    def hang(self, meanwhile: Callable[[], None]) -> None:
        """A batch that something happens to elsewhere, between its last record and its commit."""
        self.clock.advance(5_000)
        self.transaction.meanwhile = meanwhile
        try:
            self._batches.run()
        finally:
            self.transaction.meanwhile = None

    def fence(self) -> None:
        """As a new owner does to it: what it has open can be committed no more."""
        self.log.fence(self.transaction._id)

    def move(self, partition: int) -> None:
        """Give a partition up, and take it over again."""
        self.takeover.remove((partition,))
        self.takeover.add((partition,))
        self.takeover.step()

    def drain(self) -> None:
        """Take all that is there."""
        while any(self.source.lag().values()):
            self.batch()

    def finish(self, fault: Fault | None = None) -> None:
        """As at SIGTERM: everything is checkpointed."""
        self.transaction.fault, self.transaction.sends_first = fault, 0
        self.checkpoints.every_partition = True
        try:
            self._batches.take([])
        finally:
            self.checkpoints.every_partition = False
            self.transaction.fault = None

    def state(self, partition: int) -> dict[bytes, bytes]:
        """All of the partition's hard state, as rows by key, and its counters."""
        hard, types = self.recommender.hard, list(self.settings.events.table())
        rows = hard.users.rows(partition)
        upto = hard.users.marks.upto[rows]
        values = encode_rows(hard.users.rings, rows, upto, self.recommender.items, types)
        names = [user_key(hard.users.names[row]) for row in rows.tolist()]
        on_disk = self.on_disk(partition)
        assert not on_disk.keys() & set(names)
        assert hard.count(partition) == len(names) + len(on_disk)
        guard = hard.guards[partition]
        ids = guard.event_ids
        counted = (guard.accepted, guard.rejected, guard.duplicates, guard.watermark)
        return {
            **dict(zip(names, values, strict=True)),
            **on_disk,
            **{segment_key(number): ids.encoded(number) for number in ids.segments()},
            HEADER_KEY: repr((*counted, ids.first, ids.next)).encode(),
        }

    def on_disk(self, partition: int) -> dict[bytes, bytes]:
        """The rows of users who are on disk alone; not what could not be deleted there."""
        hard = self.recommender.hard
        if not isinstance(hard.cold, ColdUsers):
            return {}
        behind = hard.cold._behind.get(partition)
        gone = hard.progress[partition].forgotten.keys() | (behind.removed if behind else set())
        if behind is not None and behind.empty:
            return {}
        stored = [row for part in hard.cold.store.scan(partition) for row in part]
        return {
            row.key: row.value
            for row in stored
            if row.key[:1] == USER_KEY
            and row.key not in gone
            and hard.users.find(partition, row.key[1:].decode()) is None
        }


def pure_state(
    log: MemoryLog,
    settings: Settings,
    partition: int,
    offset: int,
    gone: Collection[int] = (),
) -> dict[bytes, bytes]:
    """The state that the records below an offset make, applied at once by a process of its own.

    `gone`: offsets of records that it does not get.
    """
    process = Process(MemoryLog(log.partitions), settings)
    records = [
        each for each in log.read(settings.topics.interactions, partition, 0)
        if each.offset < offset and each.offset not in gone
    ]  # fmt: skip
    process.recommender.replay(records)
    return process.state(partition)


def changelog(
    log: MemoryLog, settings: Settings, partition: int
) -> tuple[Header | None, dict[bytes, bytes]]:
    """The header and the rows that the state topic holds, once compacted."""
    rows: dict[bytes, bytes] = {}
    for record in log.read(settings.topics.state, partition, 0):
        rows.pop(record.key or b"", None)
        if record.value is not None:
            rows[record.key or b""] = record.value
    header = rows.pop(HEADER_KEY, None)
    return (None if header is None else decode_header(header, "test")), rows


def digest_of(state: dict[bytes, bytes]) -> bytes:
    """As a header has it."""
    return Digest.of((key, row) for key, row in state.items() if key != HEADER_KEY).to_bytes()
