"""Step 5 of a batch: the rows of users touched since the last checkpoint, then the header.

Partitions take turns, so that a batch is held up by one at a time. What a checkpoint changes in
memory changes when its transaction is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metarec_stream.clock import Clock
from metarec_stream.contract.transport import Ends, Output
from metarec_stream.crash_points import crash_point
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.cold import Written
from metarec_stream.pipeline.hard_state import HardState, Rows
from metarec_stream.state.digest import Digest, row_hash
from metarec_stream.state.header import (
    HEADER_KEY,
    SEGMENT_IDS,
    Header,
    encode_header,
    segment_key,
)
from metarec_stream.state.row import encode_rows, user_key

_SPREAD = 0.618_034
"""Multiples of the golden ratio, modulo 1, spread any number of partitions over the interval."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is written of a partition, and what holds once it is committed."""

    partition: int
    offset: int
    outputs: list[Output]
    rows: Rows
    hashes: list[int]
    segments: dict[int, int]
    users: int
    digest: Digest


class Checkpoints:
    """When and what to write of the hard state; meets `batch.BatchState`."""

    def __init__(
        self,
        hard: HardState,
        item_ids: Sequence[str],
        metrics: ConsumerMetrics,
        clock: Clock,
    ) -> None:
        self._hard = hard
        self._item_ids = item_ids
        self._types = list(hard.settings.events.table())
        self._topic = hard.settings.topics.state
        self._metrics = metrics
        self._clock = clock
        self._due_at: dict[int, float] = {}
        self._pending: list[Checkpoint] = []
        self.every_partition = False
        """Whether all are due now: the process is about to end."""

    def begin(self) -> None:
        """A batch begins: from here on what it changes can be undone."""
        self._pending.clear()
        self._hard.begin()

    def due(self) -> dict[int, int]:
        """The partition whose turn it is, with the offset it stands at; none or one, or all."""
        now = self._clock.monotonic()
        for partition in self._due_at.keys() - self._hard.progress.keys():
            del self._due_at[partition]
        behind = [at for at, progress in self._hard.progress.items() if self._is_due(at, now)]
        behind.sort(key=lambda at: self._due_at[at])
        turn = behind if self.every_partition else behind[:1]
        return {at: self._hard.progress[at].offset for at in turn}

    def write(self, partition: int) -> list[Output]:
        """Rows, segments and header of a partition, in sending order."""
        started = self._clock.monotonic()
        checkpoint = self._checkpoint(partition)
        self._pending.append(checkpoint)
        self._metrics.checkpoint_seconds.observe(self._clock.monotonic() - started)
        return checkpoint.outputs

    def keep(self, ends: Ends) -> None:
        """The batch is committed, and the checkpoints in it."""
        for checkpoint in self._pending:
            self._note(checkpoint, ends(self._topic).get(checkpoint.partition))
        self._pending.clear()
        self._hard.keep()

    def doubt(self) -> None:
        """What they may have written is written again, or deleted, by the next checkpoint.

        For those of partitions without records in the batch: whoever was touched stays so.
        """
        for checkpoint in self._pending:
            progress = self._hard.progress.get(checkpoint.partition)
            if progress is not None:
                keys = {output.key or b"" for output in checkpoint.outputs}
                progress.leftover |= keys - {HEADER_KEY}

    def undo(self) -> None:
        """The batch is not committed: everything as before it."""
        self._pending.clear()
        self._hard.undo()

    def _is_due(self, partition: int, now: float) -> bool:
        """Whether it has anything to write, and its time, or its number of records, has come."""
        settings, progress = self._hard.settings.state, self._hard.progress[partition]
        if partition not in self._due_at:
            share = (partition + 1) * _SPREAD % 1.0
            self._due_at[partition] = now + share * settings.checkpoint_every_s
        if not progress.live or progress.offset == progress.written:
            return False
        records = progress.offset - progress.written
        late = now >= self._due_at[partition] or records >= settings.checkpoint_events
        return late or self.every_partition or self._hard.cold.crowded

    def _checkpoint(self, partition: int) -> Checkpoint:
        hard = self._hard
        progress, guard, users = hard.progress[partition], hard.guards[partition], hard.users
        rows, forgotten = users.dirty_rows(partition), progress.forgotten
        upto = users.marks.upto[rows]
        values = encode_rows(users.rings, rows, upto, self._item_ids, self._types)
        keys = [user_key(users.names[row]) for row in rows.tolist()]
        hashes = [row_hash(key, value) for key, value in zip(keys, values, strict=True)]
        outputs = [
            Output(self._topic, partition, key, value)
            for key, value in zip(keys, values, strict=True)
        ]
        segments = self._segments(partition, outputs)
        written = {output.key for output in outputs} | {HEADER_KEY}
        outputs += [
            Output(self._topic, partition, key, None)
            for key in sorted(progress.leftover | forgotten.keys())
            if key not in written
        ]
        before = [*users.hashes(rows), *progress.segments.values(), *forgotten.values()]
        digest = Digest(progress.digest.value)
        digest.replace(sum(before), sum(hashes) + sum(segments.values()))
        header = Header(
            offset=progress.offset,
            accepted=guard.accepted,
            rejected=guard.rejected,
            duplicates=guard.duplicates,
            watermark=guard.watermark,
            first_id=guard.event_ids.first,
            next_id=guard.event_ids.next,
            users=hard.count(partition),
            segments=len(segments),
            digest=digest.to_bytes(),
            settings=hard.settings_hash,
            missing=progress.missing,
            damaged=progress.damaged,
        )
        outputs.append(Output(self._topic, partition, HEADER_KEY, encode_header(header)))
        crash_point("in-checkpoint")
        return Checkpoint(
            partition, progress.offset, outputs, rows, hashes, segments, header.users, digest
        )

    def _segments(self, partition: int, outputs: list[Output]) -> dict[int, int]:
        """Add the guard's segments that changed; the hashes of all that it has now."""
        progress, ids = self._hard.progress[partition], self._hard.guards[partition].event_ids
        hashes = {}
        for number in ids.segments():
            known = progress.segments.get(number)
            grew = ids.next > progress.written_ids and number >= progress.written_ids // SEGMENT_IDS
            if known is not None and not grew:
                hashes[number] = known
                continue
            key, value = segment_key(number), ids.encoded(number)
            hashes[number] = row_hash(key, value)
            outputs.append(Output(self._topic, partition, key, value))
        outputs += [
            Output(self._topic, partition, segment_key(number), None)
            for number in sorted(progress.segments.keys() - hashes.keys())
        ]
        return hashes

    def _note(self, checkpoint: Checkpoint, end: int | None) -> None:
        partition, users = checkpoint.partition, self._hard.users
        progress, ids = self._hard.progress[partition], self._hard.guards[partition].event_ids
        users.put_hashes(checkpoint.rows, checkpoint.hashes)
        users.marks.dirty[checkpoint.rows] = False
        progress.written = checkpoint.offset
        progress.written_ids = ids.next
        progress.segments = checkpoint.segments
        self._hard.cold.checkpointed(
            Written(
                partition, checkpoint.outputs, checkpoint.rows, checkpoint.hashes,
                checkpoint.users, checkpoint.digest, list(progress.erased), end,
            )
        )  # fmt: skip
        self._metrics.expired_users.inc(len(progress.expired))
        progress.leftover.clear()
        progress.erased.clear()
        progress.expired.clear()
        progress.digest = checkpoint.digest
        ids.forget_segments()
        every_s = self._hard.settings.state.checkpoint_every_s
        now = self._clock.monotonic()
        self._due_at[partition] = max(self._due_at.get(partition, now) + every_s, now)
        self._metrics.checkpoint_rows.inc(len(checkpoint.rows))
