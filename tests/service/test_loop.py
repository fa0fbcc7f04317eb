"""What happens between two batches, and when partitions come and go."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest
from prometheus_client import CollectorRegistry

from metarec_stream.clock import ManualClock
from metarec_stream.config import Settings
from metarec_stream.contract.transport import Output, Record
from metarec_stream.errors import Fatal
from metarec_stream.kafka.rebalance import Rebalance
from metarec_stream.memory.history import MemoryHistory
from metarec_stream.memory.log import MemoryLog
from metarec_stream.memory.source import MemorySource
from metarec_stream.memory.transaction import MemoryTransaction
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.batch import Forgetful
from metarec_stream.pipeline.cold import NobodyCold
from metarec_stream.pipeline.hard_state import Progress
from metarec_stream.pipeline.results import BatchResult
from metarec_stream.service.health import Readiness
from metarec_stream.service.loop import ServiceLoop
from metarec_stream.service.stop import StopSignal
from tests.stream import no_observations

SETTINGS = Settings()
INPUT = SETTINGS.topics.interactions


class Follower:
    """A thread that runs until it is told to have failed."""

    def __init__(self) -> None:
        self.failure: Fatal | None = None

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure


class Feed:
    """Hands out what was put in, once."""

    def __init__(self) -> None:
        self.follower = Follower()
        self.waiting: list[Any] = []

    def take(self) -> Any:
        return self.waiting.pop(0) if self.waiting else None


class Recommender:
    """Writes down what it is asked for."""

    meta_version = 7
    has_soft_state = True

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.hard = SimpleNamespace(progress={}, settings_hash=b"", cold=NobodyCold())

    def assign(self, partition: int) -> None:
        self.hard.progress[partition] = Progress()
        self.asked.append(("assign", partition))

    def drop(self, partition: int) -> None:
        del self.hard.progress[partition]
        self.asked.append(("drop", partition))

    def restore(self, partition: int) -> SimpleNamespace:
        return SimpleNamespace(
            take_stored=lambda: iter(()), take=lambda records: None, finish=lambda: None, rows=0
        )

    def replay(self, records: Sequence[Record]) -> None:
        self.asked.append(("replay", [record.value for record in records]))

    def recall(self, partition: int) -> None:
        self.asked.append(("recall", partition))

    def process(self, records: Sequence[Record]) -> BatchResult:
        self.asked.append(("process", [record.value for record in records]))
        offsets = {record.partition: record.offset + 1 for record in records}
        return BatchResult(offsets=offsets, observations=no_observations(0))

    def swap(self, prepared: object) -> None:
        self.asked.append(("swap", prepared))

    def apply_items(self, records: Sequence[object]) -> None:
        self.asked.append(("items", records))

    def apply_profiles(self, records: Sequence[object]) -> None:
        self.asked.append(("profiles", records))

    def export(self) -> None:
        self.asked.append(("export",))


class Checkpoints(Forgetful):
    """Knows whether all partitions were to be written in the end."""

    every_partition = False


class Member(MemorySource):
    """A member of a group; stops the loop after some polls."""

    def __init__(self, bench: Bench, polls: int) -> None:
        super().__init__(bench.log, INPUT)
        self._bench = bench
        self._polls = polls
        self.settled = True
        self.owned = frozenset({0})
        self.changes: list[Rebalance] = []
        self.held: set[int] = set()

    def more(self, polls: int) -> None:
        self._polls = polls

    def poll(self, timeout_ms: int, max_records: int) -> Sequence[Record]:
        self._polls -= 1
        if self._polls == 0:
            self._bench.stop.requested = True
        self._bench.clock.advance(600)
        records = super().poll(timeout_ms, max_records)
        while self.changes:
            change = self.changes.pop(0)
            self.held.update(change.partitions if change.kind == "assigned" else ())
            self._bench.loop.on_rebalance(change)
        return [record for record in records if record.partition not in self.held]

    def resume(self, partition: int, offset: int) -> None:
        self.held.discard(partition)
        super().resume(partition, offset)


class Bench:
    """A loop with everything around it replaced."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(clock=self.clock)
        self.registry = CollectorRegistry()
        self.recommender = Recommender()
        self.versions, self.catalogue, self.profiles = Feed(), Feed(), Feed()
        self.readiness = Readiness(partitions="not yet")
        self.stop = StopSignal()
        self.checkpoints = Checkpoints()
        self.loop = ServiceLoop(
            settings=SETTINGS,
            recommender=cast(Any, self.recommender),
            checkpoints=cast(Any, self.checkpoints),
            versions=cast(Any, self.versions),
            catalogue=cast(Any, self.catalogue),
            profiles=cast(Any, self.profiles),
            readiness=self.readiness,
            metrics=ConsumerMetrics(self.registry),
            clock=self.clock,
            stop=self.stop,
        )

    def post(self, value: bytes) -> None:
        self.log.append(Output(INPUT, 0, b"user", value))

    def run(self, member: Member) -> None:
        history = MemoryHistory(self.log, INPUT, SETTINGS.topics.state, "metarec")
        self.loop.run(member, MemoryTransaction(self.log, INPUT), history)

    def lag(self) -> float | None:
        return self.registry.get_sample_value("metarec_lag_records", {"partition": "0"})


def test_a_partition_is_restored_before_its_records_are_processed() -> None:
    """Assigned and polled at once: the state comes first, up to the committed offset."""
    bench = Bench()
    for value in (b"old", b"older", b"new"):
        bench.post(value)
    bench.log.commit("metarec", INPUT, {0: 2})
    member = Member(bench, polls=2)
    member.changes.append(Rebalance("assigned", (0,)))
    assert not bench.readiness.ready
    bench.run(member)
    assert bench.recommender.asked[:4] == [
        ("assign", 0),
        ("replay", [b"old", b"older"]),
        ("recall", 0),
        ("process", [b"new"]),
    ]
    assert bench.checkpoints.every_partition
    assert bench.readiness.ready


def test_versions_items_and_profiles_are_taken_up_between_batches() -> None:
    """One of each after a batch; nothing is asked of the recommender while there is none."""
    bench = Bench()
    bench.post(b"a")
    bench.versions.waiting.append("prepared")
    bench.catalogue.waiting.append(["item"])
    bench.profiles.waiting.append(["profile"])
    bench.run(Member(bench, polls=1))
    expected = [
        ("process", [b"a"]),
        ("swap", "prepared"),
        ("items", ["item"]),
        ("profiles", ["profile"]),
    ]
    assert bench.recommender.asked == expected


def test_gauges_are_brought_up_to_date_about_once_a_second() -> None:
    """Polls take 0.6 s here: every other one."""
    bench = Bench()
    member = Member(bench, polls=4)
    bench.run(member)
    assert bench.recommender.asked == [("export",), ("export",)]
    assert bench.lag() == 0


@pytest.mark.parametrize("kind", ["revoked", "lost"])
def test_a_partition_that_goes_is_forgotten_with_its_lag(kind: Literal["revoked", "lost"]) -> None:
    """A gauge that is left behind would go on being scraped; the process lives on."""
    bench = Bench()
    member = Member(bench, polls=3)
    member.changes = [Rebalance("assigned", (0,))]
    bench.run(member)
    assert bench.lag() == 0
    bench.loop.on_rebalance(Rebalance(kind, (0,)))
    assert bench.recommender.asked[-1] == ("drop", 0)
    assert bench.lag() is None


def test_a_member_without_partitions_is_ready_and_says_so() -> None:
    """More members than partitions, for longer than a first generation without any may take."""
    bench = Bench()
    member = Member(bench, polls=4)
    member.owned = frozenset()
    bench.run(member)
    assert bench.readiness.report()["reasons"] == {"partitions": "joining the group metarec"}
    assert bench.readiness.report()["notes"] == {}
    bench.stop.requested = False
    member.more(1)
    bench.run(member)
    report = bench.readiness.report()
    assert report["ready"]
    assert "more members than partitions" in report["notes"]["spare"]


def test_a_member_that_is_still_joining_is_not_ready() -> None:
    """The reason names the group."""
    bench = Bench()
    member = Member(bench, polls=9)
    member.owned, member.settled = frozenset(), False
    bench.run(member)
    assert bench.readiness.report()["reasons"] == {"partitions": "joining the group metarec"}


def test_a_thread_that_failed_ends_the_process() -> None:
    """Its error is raised between two batches."""
    bench = Bench()
    bench.versions.follower.failure = Fatal("reading metarec.meta ended")
    with pytest.raises(Fatal, match=r"reading metarec\.meta ended"):
        bench.run(Member(bench, polls=1))
