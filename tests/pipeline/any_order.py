"""Everything that may happen to a process, in any order, and what must hold after each of it."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis
import msgspec
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from metarec_stream import crash_points
from metarec_stream.contract.codec import encode_interaction
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.transport import Output
from metarec_stream.errors import Fatal
from metarec_stream.pipeline import checkpoint
from metarec_stream.state import event_ids, users
from metarec_stream.state.digest import row_hash
from metarec_stream.state.header import HEADER_KEY, Header, segment_key
from metarec_stream.state.row import USER_KEY, encode_rows, user_key
from tests.pipeline.never_failing import NeverFailing, published
from tests.pipeline.process import (
    FAULTS,
    INPUT,
    NOW,
    SETTINGS,
    Crash,
    Fault,
    Process,
    changelog,
    digest_of,
    killed_at,
)
from tests.pipeline.shrinking_log import ShrinkingLog

PARTITIONS = (0, 1)
USERS = "abcde"
BETWEEN_RECORDS_MS = 5_000
"""So that a user often does not come back within a minute, the lifetime here."""
IN_A_BATCH = [each for each in crash_points.CRASH_POINTS if each not in ("in-restore", "in-swap")]
_TOPICS = SETTINGS.topics
_MEMBER = SETTINGS.kafka.group

events = st.builds(
    Interaction,
    user=st.sampled_from(USERS),
    item=st.sampled_from("xyz"),
    type=st.sampled_from(["click", "purchase", "skip"]),
    ts=st.none() | st.integers(NOW - 90_000, NOW) | st.just(NOW + 400_000),
    value=st.none() | st.just(2.5),
    event_id=st.none() | st.sampled_from("1234567"),
)
erasures = st.builds(Interaction, user=st.sampled_from(USERS), type=st.just("erase"))
posting = st.lists(st.none() | events | events | events | erasures, max_size=6)
"""None stands for a record that is no interaction."""
partitions = st.sampled_from(PARTITIONS)
faults = st.none() | st.sampled_from(FAULTS)
waits = st.sampled_from([0.01, 0.6, 5.0])


def bounded(examples: int) -> hypothesis.settings:
    """The same examples each time, so many, of up to 25 steps; the first that fails is told as it
    is, for to shorten it takes minutes.
    """
    return hypothesis.settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )


def end_of(process: Process, meanwhile: Callable[[], None]) -> str:
    """Of what a process dies that takes a batch, while something happens elsewhere."""
    try:
        process.hang(meanwhile)
    except Fatal as error:
        return str(error)
    return ""


class AnyOrder(RuleBasedStateMachine):
    """Of a process that keeps everybody in memory."""

    settings = SETTINGS

    @initialize()
    def start(self) -> None:
        self.patches = pytest.MonkeyPatch()
        for module in (event_ids, checkpoint):
            self.patches.setattr(module, "SEGMENT_IDS", 2)
        self.patches.setattr(users, "_FIRST_CAPACITY", 2)
        self.log = ShrinkingLog(len(PARTITIONS))
        self.expected = NeverFailing(self.log.whole, SETTINGS)
        self.zombie: Process | None = None
        self.gone = [frozenset[int]() for _ in PARTITIONS]
        """Records that the process did not get."""
        self.gone_in_changelog = list(self.gone)
        self.torn_at = [-1 for _ in PARTITIONS]
        """Where the changelog has a row that is not its header's."""
        self.header_at = [-1 for _ in PARTITIONS]
        """Where the newest header was when somebody last looked."""
        self.begin()

    @rule(partition=partitions, posted=posting)
    def posts(self, partition: int, posted: list[Interaction | None]) -> None:
        for each in posted:
            self.post(partition, each)

    @rule(partition=partitions, posted=posting, fault=faults, wait=waits, sends=st.integers(0, 5))
    def takes_a_batch(
        self, partition: int, posted: list[Interaction | None], fault: Fault | None, wait: float,
        sends: int,
    ) -> None:  # fmt: skip
        self.posts(partition, posted)
        try:
            self.process.batch(fault, wait, sends)
        except Crash:
            self.begin_again()

    @rule(partition=partitions, posted=posting, wait=waits)
    def takes_a_batch_well(
        self, partition: int, posted: list[Interaction | None], wait: float
    ) -> None:
        self.takes_a_batch(partition, posted, None, wait, 0)

    @rule(
        partition=partitions, posted=posting, point=st.sampled_from(IN_A_BATCH),
        passes=st.integers(1, 4), wait=waits,
    )  # fmt: skip
    def is_killed(
        self, partition: int, posted: list[Interaction | None], point: str, passes: int, wait: float
    ) -> None:
        self.posts(partition, posted)
        try:
            with killed_at(point, passes):
                self.process.batch(None, wait)
        except Crash:
            self.begin_again()

    @rule(passes=st.integers(1, 3))
    def restarts_and_is_killed_while_it_restores(self, passes: int) -> None:
        try:
            with killed_at("in-restore", passes):
                self.begin_again()
        except Crash:
            self.begin_again()

    @rule(fault=faults)
    def writes_all_checkpoints(self, fault: Fault | None) -> None:
        """No offset moves with these: that of a commit without an answer says nothing."""
        try:
            self.process.finish(fault)
        except Crash:
            self.begin_again()

    @rule(partition=partitions, posted=posting)
    def users_are_erased_after_a_checkpoint_that_nobody_heard_of(
        self, partition: int, posted: list[Interaction | None]
    ) -> None:
        self.takes_a_batch_well(partition, posted, 0.01)
        self.writes_all_checkpoints("commit done unheard")
        names = sorted({each.user for each in posted if each is not None})
        erased = [Interaction(user=name, type="erase") for name in names[:1]]
        self.takes_a_batch_well(partition, [*erased], 0.01)
        self.writes_all_checkpoints(None)

    @rule()
    def ends_well_and_starts_again(self) -> None:
        self.process.finish()
        self.begin_again()

    @rule(partition=partitions)
    def gives_a_partition_up_and_takes_it_back(self, partition: int) -> None:
        self.note_what_is_gone([partition])
        self.process.move(partition)

    @rule()
    def is_taken_over_while_it_hangs(self) -> None:
        self.end_the_zombie()
        self.zombie = self.process
        self.begin_elsewhere()

    @rule(partition=partitions, posted=posting)
    def is_taken_over_before_its_commit(
        self, partition: int, posted: list[Interaction | None]
    ) -> None:
        self.posts(partition, posted)
        process = self.process

        def takeover() -> None:
            process.fence()
            self.is_taken_over_while_it_hangs()

        assert ("fenced" in end_of(process, takeover)) == (self.process is not process)
        if self.process is not process:
            self.end_the_zombie()

    @rule(wait=waits)
    def the_zombie_goes_on(self, wait: float) -> None:
        if self.zombie is None:
            return
        before = self.ends()
        self.zombie.batch(None, wait)
        assert self.ends() == before

    @rule(partition=partitions, share=st.floats(0, 1), tombstones=st.booleans())
    def the_changelog_is_compacted(self, partition: int, share: float, tombstones: bool) -> None:
        """All but its newest record may be."""
        end = self.log.end(_TOPICS.state, partition)
        below = round(share * (end - 1))
        if self.torn_at[partition] < 0:
            self.log.compact(_TOPICS.state, partition, below, tombstones)

    @rule(partition=partitions)
    def retention_takes_what_is_in_the_checkpoint(self, partition: int) -> None:
        header, _ = changelog(self.log, SETTINGS, partition)
        if header is not None:
            self.log.drop_before(INPUT, partition, header.offset)

    @rule(
        partition=partitions, posted=posting, back=st.integers(0, 5), number=st.integers(0, 9),
        shortened=st.booleans(),
    )  # fmt: skip
    def a_row_of_a_zombie_is_written_alone(
        self, partition: int, posted: list[Interaction | None], back: int, number: int,
        shortened: bool,
    ) -> None:  # fmt: skip
        """Later than the checkpoint; then the owner dies, and what is older may be gone."""
        self.takes_a_batch_well(partition, posted, 0.01)
        header, _ = changelog(self.log, SETTINGS, partition)
        written, committed = 0 if header is None else header.offset, self.committed(partition)
        offset = max(written, committed - back)
        state = self.expected.state(partition, offset, self.gone[partition])
        rows = [(key, row) for key, row in sorted(state.items()) if key[:1] == USER_KEY]
        if offset == written or not rows or self.log.begin(INPUT, partition) > written:
            return
        self.torn_at[partition] = self.log.end(_TOPICS.state, partition)
        self.log.append(Output(_TOPICS.state, partition, *rows[number % len(rows)]), NOW)
        if shortened:
            self.log.drop_before(INPUT, partition, written)
        self.begin_again()
        self.hard_state_is_a_pure_function_of_the_log()
        for again in (posted, posted[:1]):
            self.takes_a_batch_well(partition, again, 0.01)
            self.writes_all_checkpoints(None)

    @invariant()
    def hard_state_is_a_pure_function_of_the_log(self) -> None:
        for partition in PARTITIONS:
            progress = self.process.recommender.hard.progress[partition]
            assert progress.offset == self.committed(partition)
            expected = self.expected.state(partition, progress.offset, self.gone[partition])
            assert self.process.state(partition) == expected
            assert progress.missing == len(self.gone[partition])

    @invariant()
    def a_zombie_s_state_is_as_before_its_batch(self) -> None:
        if self.zombie is None or any(map(len, self.gone)):
            return
        for partition in PARTITIONS:
            offset = self.zombie.recommender.hard.progress[partition].offset
            assert self.zombie.state(partition) == self.expected.state(partition, offset)

    @invariant()
    def each_event_is_answered_once(self) -> None:
        receipts: list[object] = []
        for partition in PARTITIONS:
            expected = self.expected.published(partition, self.committed(partition))
            receipts += expected.pop(_TOPICS.receipts, [])
            there = [
                record
                for topic in (_TOPICS.recommendations, _TOPICS.dead_letters_topic())
                for record in self.log.read(topic, partition, 0)
            ]
            found = published(SETTINGS, there)
            if self.gone[partition]:
                answers = found.get(_TOPICS.recommendations, [])
                assert len(set(answers)) == len(answers)
            else:
                assert found == expected
        if not any(map(len, self.gone)):
            said = published(SETTINGS, self.log.read(_TOPICS.receipts, 0, 0))
            assert sorted(said.get(_TOPICS.receipts, []), key=repr) == sorted(receipts, key=repr)

    @invariant()
    def the_changelog_is_the_state_at_its_offset(self) -> None:
        self.note_headers()
        for partition in PARTITIONS:
            header, rows = changelog(self.log, SETTINGS, partition)
            if self.torn_at[partition] >= 0:
                continue
            if header is None:
                assert not rows
                continue
            gone = self.gone_in_changelog[partition]
            expected = self.expected.state(partition, header.offset, gone)
            expected = {key: row for key, row in expected.items() if key != HEADER_KEY}
            assert rows == expected
            assert header.digest == digest_of(rows)
            assert header.users == sum(key[:1] == USER_KEY for key in rows)
            assert header.segments == len(rows) - header.users
            assert header.missing == len(gone)

    @invariant()
    def memory_knows_what_the_changelog_lacks(self) -> None:
        """Neither more nor less is written at the next checkpoint."""
        for partition in PARTITIONS:
            progress = self.process.recommender.hard.progress[partition]
            header, rows = changelog(self.log, SETTINGS, partition)
            heard = header is not None and progress.written == header.offset
            if header is None or not heard or progress.leftover or self.torn_at[partition] >= 0:
                continue
            hashes = {key: row_hash(key, row) for key, row in rows.items()}
            self.check_progress(partition, header, hashes)
            self.check_marks(partition, hashes)

    def check_progress(self, partition: int, header: Header, hashes: dict[bytes, int]) -> None:
        """How far the partition is, as its header says."""
        progress = self.process.recommender.hard.progress[partition]
        assert progress.digest.to_bytes() == header.digest
        assert progress.written_ids == header.next_id
        segments = {segment_key(number): hashed for number, hashed in progress.segments.items()}
        assert segments == {key: hashes[key] for key in hashes if key[:1] != USER_KEY}
        assert progress.forgotten == {key: hashes[key] for key in progress.forgotten}

    def check_marks(self, partition: int, hashes: dict[bytes, int]) -> None:
        """A user is dirty whose row in the changelog is another one."""
        hard = self.process.recommender.hard
        gone = hard.progress[partition].forgotten
        own, marks = hard.users.rows(partition), hard.users.marks
        types = list(SETTINGS.events.table())
        items = self.process.recommender.items
        values = encode_rows(hard.users.rings, own, marks.upto[own], items, types)
        for row, value in zip(own.tolist(), values, strict=True):
            key = user_key(hard.users.names[row])
            known = 0 if key in gone else hashes.get(key, 0)
            low, high = marks.hash[row].tolist()
            assert low | high << 64 == known
            assert marks.dirty[row] == (row_hash(key, value) != known)

    def teardown(self) -> None:
        """In the end, whatever happened, all of it is taken."""
        if not hasattr(self, "process"):
            return
        self.note_headers()
        self.process.drain()
        self.process.finish()
        self.note_headers()
        for check in (
            self.hard_state_is_a_pure_function_of_the_log,
            self.each_event_is_answered_once,
            self.the_changelog_is_the_state_at_its_offset,
        ):
            check()
        assert not any(self.process.source.lag().values())
        self.end_the_zombie()
        self.patches.undo()

    def post(self, partition: int, interaction: Interaction | None) -> None:
        """Add a record to the input; time passes from one to the next."""
        passed = self.log.end(INPUT, partition) * BETWEEN_RECORDS_MS
        if interaction is not None and interaction.ts is not None:
            interaction = msgspec.structs.replace(interaction, ts=interaction.ts + passed)
        value, headers = (b"{", ()) if interaction is None else encode_interaction(interaction)
        self.log.append(Output(INPUT, partition, b"key", value, headers), NOW + passed)

    def committed(self, partition: int) -> int:
        """Next record to be taken, as the group has it."""
        return self.log.committed(_MEMBER, INPUT, partition) or 0

    def ends(self) -> list[int]:
        """How much is in each topic's partitions."""
        topics = (*_TOPICS.partitioned(), _TOPICS.receipts)
        return [self.log.end(topic, partition) for topic in topics for partition in PARTITIONS]

    def begin(self) -> None:
        """A process takes everything over; what it lacks it says."""
        degraded = self.note_what_is_gone(list(PARTITIONS))
        self.process = self.made()
        assert sorted(self.process.degraded) == sorted(degraded)
        for partition, progress in self.process.recommender.hard.progress.items():
            assert not progress.leftover or partition in self.unfit

    def made(self) -> Process:
        """A process."""
        return Process(self.log, self.settings)

    def begin_again(self) -> None:
        """In place of one that ended."""
        self.begin()

    def begin_elsewhere(self) -> None:
        """Beside one that hangs."""
        self.begin()

    def end_the_zombie(self) -> None:
        """It does nothing any more."""
        self.zombie = None

    def note_headers(self) -> None:
        """What was not in the state of whoever wrote the newest checkpoints is not in these."""
        for partition in PARTITIONS:
            records = self.log.read(_TOPICS.state, partition, 0)
            headers = [each.offset for each in records if each.key == HEADER_KEY]
            if headers and headers[-1] > self.header_at[partition]:
                self.header_at[partition] = headers[-1]
                self.torn_at[partition] = -1
                self.gone_in_changelog[partition] = self.gone[partition]

    def note_what_is_gone(self, taken_over: list[int]) -> list[tuple[str, int]]:
        """Retention has taken it, and the checkpoint lacks it; returns what is to be said of it."""
        self.note_headers()
        degraded: list[tuple[str, int]] = []
        self.unfit = set[int]()
        for partition in taken_over:
            header, rows = changelog(self.log, SETTINGS, partition)
            written = 0 if header is None else header.offset
            first = self.log.begin(INPUT, partition)
            hole = frozenset(range(written, first))
            self.gone[partition] = self.gone_in_changelog[partition] | hole
            fits = not rows if header is None else header.digest == digest_of(rows)
            self.unfit |= set() if fits else {partition}
            degraded += [("state-damaged", partition)] * (first > 0 and not fits)
            degraded += [("replay-hole", partition)] * bool(hole)
        return degraded


class RetentionTakesMore(AnyOrder):
    """Records that no checkpoint holds yet: a process that starts then goes on without them."""

    @rule(partition=partitions, posted=posting, share=st.floats(0, 1))
    def retention_passes_the_checkpoint(
        self, partition: int, posted: list[Interaction | None], share: float
    ) -> None:
        """Not what is not committed: that is lag, of which there is an alarm."""
        self.takes_a_batch_well(partition, posted, 0.01)
        if self.torn_at[partition] < 0:
            self.log.drop_before(INPUT, partition, round(share * self.committed(partition)))

    @rule(partition=partitions, posted=posting)
    def retention_takes_all_and_it_starts_again(
        self, partition: int, posted: list[Interaction | None]
    ) -> None:
        self.retention_passes_the_checkpoint(partition, posted, 1.0)
        self.begin_again()
        self.hard_state_is_a_pure_function_of_the_log()
        self.takes_a_batch_well(partition, posted, 5.0)
