"""Whatever aborts or crashes wherever: hard state is the pure function of the log, always."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.catalogue.settings import CatalogueSettings
from metarec_stream.config import Settings
from metarec_stream.contract.codec import decode_recommendation, encode_interaction
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.transport import Output
from metarec_stream.errors import Fatal
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.memory.log import MemoryLog
from metarec_stream.pipeline.settings import BatchSettings, GuardSettings
from metarec_stream.state.settings import StateSettings
from tests.pipeline.process import (
    FAULTS,
    Crash,
    Fault,
    Process,
    changelog,
    digest_of,
    pure_state,
)

SETTINGS = Settings(
    emit="per_event",
    batch=BatchSettings(max_records=8),
    guard=GuardSettings(event_ids=5, lateness_s=60.0),
    state=StateSettings(ring=4, checkpoint_every_s=1.0),
    catalogue=CatalogueSettings(neighbours=8),
    value_sum=ValueSumSettings(dimensions=4, window=4),
    learn=LearnSettings(strongest=4, random=2),
)
INPUT = SETTINGS.topics.interactions
NOW = 1_700_000_000_000

events = st.builds(
    Interaction,
    user=st.sampled_from("abcde"),
    item=st.sampled_from("xyz"),
    type=st.sampled_from(["click", "purchase", "skip"]),
    ts=st.integers(NOW - 90_000, NOW),
    value=st.none() | st.just(2.5),
    event_id=st.none() | st.sampled_from(["1", "2", "3", "4", "5", "6", "7"]),
)

erasures = st.builds(Interaction, user=st.sampled_from("abcde"), type=st.just("erase"))


def post(log: MemoryLog, partition: int, interaction: Interaction | None) -> None:
    """None stands for a record that is no interaction."""
    value, headers = (b"{", ()) if interaction is None else encode_interaction(interaction)
    log.append(Output(INPUT, partition, b"key", value, headers), NOW)


def answered(log: MemoryLog, partition: int) -> list[int]:
    """Offsets of the events that recommendations answer, in order."""
    records = log.read(SETTINGS.topics.recommendations, partition, 0)
    lists = [decode_recommendation(each.value or b"", b"application/msgpack") for each in records]
    return [each.source.offset for each in lists]


class ExactlyOnce(RuleBasedStateMachine):
    """Posts, batches, faults, restarts and zombies in any order."""

    @initialize()
    def start(self) -> None:
        self.log = MemoryLog(partitions=2)
        self.process = Process(self.log, SETTINGS)
        self.zombie: Process | None = None

    @rule(partition=st.integers(0, 1), posted=st.lists(st.none() | events | erasures, max_size=6))
    def posts(self, partition: int, posted: list[Interaction | None]) -> None:
        for each in posted:
            post(self.log, partition, each)

    @rule(fault=st.none() | st.sampled_from(FAULTS), seconds=st.sampled_from([0.01, 0.6, 5.0]))
    def takes_a_batch(self, fault: Fault | None, seconds: float) -> None:
        try:
            self.process.batch(fault, seconds)
        except Crash:
            self.process = Process(self.log, SETTINGS)

    @rule()
    def restarts(self) -> None:
        self.process = Process(self.log, SETTINGS)

    @rule()
    def ends_well_and_starts_again(self) -> None:
        self.process.finish()
        self.process = Process(self.log, SETTINGS)

    @rule()
    def is_taken_over_while_it_hangs(self) -> None:
        self.zombie, self.process = self.process, Process(self.log, SETTINGS)

    @rule(seconds=st.sampled_from([0.01, 5.0]))
    def the_zombie_goes_on(self, seconds: float) -> None:
        if self.zombie is not None:
            ends = [self.log.end(topic, 0) for topic in SETTINGS.topics.partitioned()]
            self.zombie.batch(None, seconds)
            assert ends == [self.log.end(topic, 0) for topic in SETTINGS.topics.partitioned()]

    @invariant()
    def hard_state_is_a_pure_function_of_the_log(self) -> None:
        if not hasattr(self, "process"):
            return
        for partition in (0, 1):
            committed = self.log.committed("metarec", INPUT, partition) or 0
            assert self.process.recommender.hard.progress[partition].offset == committed
            expected = pure_state(self.log, SETTINGS, partition, committed)
            assert self.process.state(partition) == expected

    @invariant()
    def the_changelog_is_the_state_at_its_offset(self) -> None:
        if not hasattr(self, "process"):
            return
        for partition in (0, 1):
            header, rows = changelog(self.log, SETTINGS, partition)
            if header is None:
                assert not rows
                continue
            expected = pure_state(self.log, SETTINGS, partition, header.offset)
            assert header.digest == digest_of(rows) == digest_of(expected)
            assert header.users == sum(key[:1] == b"u" for key in rows)

    def teardown(self) -> None:
        """In the end each accepted event is answered once."""
        if not hasattr(self, "process"):
            return
        self.process.drain()
        assert self.process.degraded == []
        for partition in (0, 1):
            offsets = answered(self.log, partition)
            assert len(set(offsets)) == len(offsets)
            guard = self.process.recommender.hard.guards[partition]
            assert len(offsets) == guard.accepted
            letters = self.log.read(SETTINGS.topics.dead_letters_topic(), partition, 0)
            assert len(letters) == guard.rejected


ExactlyOnce.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestExactlyOnce = ExactlyOnce.TestCase
del ExactlyOnce


@pytest.mark.parametrize("fault", FAULTS)
def test_a_batch_that_fails_is_learned_and_answered_once(fault: Fault) -> None:
    """At whatever step it fails: known users, new ones, event ids, and a checkpoint in it."""
    log = MemoryLog()
    process = Process(log, SETTINGS)
    for number in range(8):
        post(log, 0, Interaction(user="ab"[number % 2], item="x", ts=NOW, event_id=f"{number}"))
    process.batch(None, 5.0)
    for number in range(6, 12):
        post(log, 0, Interaction(user="abc"[number % 3], item="y", ts=NOW, event_id=f"{number}"))
    try:
        process.batch(fault, 5.0)
    except Crash:
        process = Process(log, SETTINGS)
    committed = log.committed("metarec", INPUT, 0) or 0
    assert process.state(0) == pure_state(log, SETTINGS, 0, committed)
    process.drain()
    process.finish()
    assert process.state(0) == pure_state(log, SETTINGS, 0, 14)
    assert answered(log, 0) == [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13]
    header, rows = changelog(log, SETTINGS, 0)
    assert header is not None
    assert header.digest == digest_of(rows) == digest_of(process.state(0))


@pytest.mark.parametrize("sizes", [(1,), (7,), (3, 1, 5), (1_000,)])
def test_any_batching_gives_the_same_digest(sizes: tuple[int, ...]) -> None:
    """The last header is the same, byte for byte, however records fell into batches."""
    headers = []
    for size in (sizes, (50,)):
        log = MemoryLog()
        process = Process(log, SETTINGS)
        number = 0
        while number < 60:
            for _ in range(size[number % len(size)]):
                post(log, 0, Interaction(user=f"u{number % 7}", item=f"i{number % 5}", ts=NOW,
                                         event_id=f"{number % 50}"))  # fmt: skip
                number += 1
                if number == 60:
                    break
            process.drain()
        process.finish()
        headers.append(changelog(log, SETTINGS, 0)[0])
    assert headers[0] == headers[1] is not None


def test_an_event_of_an_undone_batch_moves_the_soft_state_once() -> None:
    """Learned again, it is not counted again: popularity is that of a run without an abort."""
    totals, samples = [], []
    for faults in ((None,), ("abort at commit", "commit lost", None)):
        log = MemoryLog()
        process = Process(log, SETTINGS)
        for item in "xxyzx":
            post(log, 0, Interaction(user="a", item=item, ts=NOW))
        for fault in faults:
            process.batch(fault)
        popularity = process.recommender._soft.arrays().popularity
        totals.append(popularity.total[:3].tolist())
        samples.append(
            process.registry.get_sample_value(
                "metarec_events_total", {"type": "click", "outcome": "accepted"}
            )
        )
        assert answered(log, 0) == [0, 1, 2, 3, 4]
    assert totals[0] == totals[1] == [3.0, 1.0, 1.0]
    assert samples == [5.0, 5.0]


def test_what_the_brokers_refuse_ends_as_one_dead_letter() -> None:
    """Halved until the record stands alone; it stays learned, the others are answered."""
    log = MemoryLog()
    process = Process(log, SETTINGS)
    poison = 5

    def send(output: Output) -> None:
        ours = output.topic == SETTINGS.topics.recommendations
        bad = ours and answers(output) == poison
        type(process.transaction).send(process.transaction, output)
        process.transaction.fault = "refuse" if bad else process.transaction.fault

    def answers(output: Output) -> int:
        return decode_recommendation(output.value or b"", b"application/msgpack").source.offset

    process.transaction.send = send  # type: ignore[method-assign]
    for number in range(8):
        post(log, 0, Interaction(user=f"u{number}", item="x", ts=NOW))
    for _ in range(30):
        process.batch()
    assert sorted(answered(log, 0)) == [0, 1, 2, 3, 4, 6, 7]
    [letter] = log.read(SETTINGS.topics.dead_letters_topic(), 0, 0)
    said = dict(letter.headers)
    assert (said["metarec-reason"], said["metarec-offset"]) == (b"too-large", b"5")
    assert process.state(0) == pure_state(log, SETTINGS, 0, 8)


def test_a_fenced_producer_ends_the_process() -> None:
    """Another process has its transactional id: only a person can tell which one should live."""
    log = MemoryLog()
    process = Process(log, SETTINGS)
    log.fence(f"id.{Process.made}")
    post(log, 0, Interaction(user="a", item="x", ts=NOW))
    with pytest.raises(Fatal, match="fenced"):
        process.batch()
