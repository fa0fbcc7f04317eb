"""Everything that may happen to a process, in any order."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis
import msgspec
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import rule

from metarec_stream import crash_points
from metarec_stream.contract.codec import encode_interaction
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.transport import Output
from metarec_stream.errors import Fatal
from metarec_stream.state.row import USER_KEY
from tests.pipeline.process import (
    FAULTS,
    INPUT,
    NOW,
    SETTINGS,
    Crash,
    Fault,
    Process,
    changelog,
    killed_at,
)
from tests.pipeline.what_must_hold import PARTITIONS, WhatMustHold

USERS = "abcde"
BETWEEN_RECORDS_MS = 5_000
"""So that a user often does not come back within a minute, the lifetime here."""
IN_A_BATCH = [each for each in crash_points.CRASH_POINTS if each not in ("in-restore", "in-swap")]
_TOPICS = SETTINGS.topics

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


class AnyOrder(WhatMustHold):
    """Of a process that keeps everybody in memory."""

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

    def post(self, partition: int, interaction: Interaction | None) -> None:
        """Add a record to the input; time passes from one to the next."""
        passed = self.log.end(INPUT, partition) * BETWEEN_RECORDS_MS
        if interaction is not None and interaction.ts is not None:
            interaction = msgspec.structs.replace(interaction, ts=interaction.ts + passed)
        value, headers = (b"{", ()) if interaction is None else encode_interaction(interaction)
        self.log.append(Output(INPUT, partition, b"key", value, headers), NOW + passed)

    def ends(self) -> list[int]:
        """How much is in each topic's partitions."""
        topics = (*_TOPICS.partitioned(), _TOPICS.receipts)
        return [self.log.end(topic, partition) for topic in topics for partition in PARTITIONS]


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
