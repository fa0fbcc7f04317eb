"""A process, its log and its zombie, and what must hold of them whatever happened."""

from __future__ import annotations

import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from metarec_stream.pipeline import checkpoint
from metarec_stream.state import event_ids, users
from metarec_stream.state.digest import row_hash
from metarec_stream.state.header import HEADER_KEY, Header, segment_key
from metarec_stream.state.row import USER_KEY, encode_rows, user_key
from tests.pipeline.never_failing import NeverFailing, published
from tests.pipeline.process import INPUT, SETTINGS, Process, changelog, digest_of
from tests.pipeline.shrinking_log import ShrinkingLog

PARTITIONS = (0, 1)
_TOPICS = SETTINGS.topics
_MEMBER = SETTINGS.kafka.group


class WhatMustHold(RuleBasedStateMachine):
    """Of a process that keeps everybody in memory; what happens to it is a subclass's rules."""

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

    def committed(self, partition: int) -> int:
        """Next record to be taken, as the group has it."""
        return self.log.committed(_MEMBER, INPUT, partition) or 0

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
