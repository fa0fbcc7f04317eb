"""A batch, from poll to commit: the order of its steps is what makes it exactly once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import structlog

from metarec_stream.clock import Clock
from metarec_stream.config import Settings
from metarec_stream.contract.transport import (
    Aborted,
    Ends,
    Output,
    Record,
    Refused,
    Source,
    Transaction,
    Uncertain,
)
from metarec_stream.crash_points import crash_point
from metarec_stream.errors import Fatal
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.fitting import fitting, in_place_of_outputs

if TYPE_CHECKING:
    from metarec_stream.pipeline.results import BatchResult

REFUSALS_BEFORE_HALVING = 2
MOST_REPLACED = 2
"""Dead letters that are tried for a refused record: with its bytes, and without."""

log = structlog.get_logger()


class Processor(Protocol):
    """The recommender, as far as a batch needs it."""

    def process(self, records: Sequence[Record]) -> BatchResult: ...


class BatchState(Protocol):
    """The hard state, as far as a batch needs it."""

    def begin(self) -> None: ...
    def due(self) -> Mapping[int, int]:
        """Partitions to be checkpointed now, with the offsets that they stand at."""
        ...

    def write(self, partition: int) -> Sequence[Output]: ...
    def keep(self, ends: Ends) -> None: ...
    def doubt(self) -> None:
        """Nobody can say whether the checkpoints are in the changelog; `undo` follows."""
        ...

    def undo(self) -> None: ...


class Forgetful:
    """No checkpoints and no undoing: for a log in memory, whose transactions never abort."""

    def begin(self) -> None:
        pass

    def due(self) -> Mapping[int, int]:
        return {}

    def write(self, partition: int) -> Sequence[Output]:
        raise Fatal(f"partition {partition} has no changelog here; this is a fault of ours")

    def keep(self, ends: Ends) -> None:
        pass

    def doubt(self) -> None:
        pass

    def undo(self) -> None:
        raise Fatal("a batch was aborted that cannot be undone: start this process again")


class Batches:
    """Takes records in batches, learns and ranks, and publishes each batch in one transaction."""

    def __init__(
        self,
        source: Source,
        transaction: Transaction,
        recommender: Processor,
        state: BatchState,
        settings: Settings,
        metrics: ConsumerMetrics,
        clock: Clock,
    ) -> None:
        self._source = source
        self._transaction = transaction
        self._recommender = recommender
        self._state = state
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._most = settings.batch.max_records
        self._refusals = 0
        self._replaced = 0

    def run(self, wait_ms: int | None = None) -> int:
        """The next batch; returns how many records it took, 0 also if it was aborted and undone.

        Waits `wait_ms` for a first record (`batch.poll_ms` if absent). Nothing is begun where
        there is no record and no checkpoint is due. Raises Fatal where only a new process helps.
        """
        # 1. Poll.
        wait_ms = self._settings.batch.poll_ms if wait_ms is None else wait_ms
        records = self._source.poll(wait_ms, self._most)
        if records:
            crash_point("after-poll")
        return self.take(records) if records or self._state.due() else 0

    def take(self, records: Sequence[Record]) -> int:
        """Steps 2 to 6 for records that were polled, or for checkpoints alone; returns as `run`."""
        try:
            self._source.group_metadata()
        except Aborted as error:
            self._read_again("rebalance", error, records)
            return 0

        # 2. Decode, guard, adapt, rank: no input or output, only changes that can be undone.
        self._state.begin()
        result = self._recommender.process(records) if records else None
        crash_point("after-adapt")

        started = self._clock.monotonic()
        offsets = result.offsets if result else {}
        try:
            published = self._publish(offsets, self._outputs(records, result))
        except Uncertain as error:
            if not self._went_through(error, offsets, records):
                return 0
            published = self._clock.monotonic()
        except Aborted as error:
            self._take_back(error, records)
            return 0
        except BaseException:
            self._abort()
            raise
        self._state.keep(self._transaction.ends)
        self._note_success()
        if result:
            _observe(result, len(records), self._metrics, self._clock, started, published)
        return len(records)

    def _publish(self, offsets: Mapping[int, int], outputs: Sequence[Output]) -> float:
        """One transaction; returns when all of it was handed over, just before the commit."""
        transaction, due = self._transaction, self._state.due()
        transaction.begin()
        # 3. The offsets first: a member that no longer owns its partitions is refused here,
        #    before it wrote anything that would hold back the readers of the outputs. The
        #    generation is that of now: one that began since the poll takes nothing away yet.
        transaction.send_offsets({**due, **offsets}, self._source.group_metadata())
        crash_point("after-send-offsets")

        # 4. Dead letters, recommendations, tasks, in the order they were made.
        for output in outputs:
            crash_point("before-send")
            transaction.send(fitting(output, self._settings))
            crash_point("after-send")

        # 5. The checkpoints whose turn it is: a row for each user touched since the last one,
        #    then the partition's header. No transaction writes rows without the partition's offset.
        for partition in due:
            for row in self._state.write(partition):
                transaction.send(fitting(row, self._settings))

        # 6. Commit: everything of these records becomes visible, or nothing.
        published = self._clock.monotonic()
        crash_point("before-commit")
        transaction.commit()
        crash_point("after-commit")
        return published

    def _outputs(self, records: Sequence[Record], result: BatchResult | None) -> Sequence[Output]:
        """What the records led to; of one that the brokers refused, a dead letter in its place."""
        if result is None:
            return ()
        if self._replaced == 0:
            return result.outputs
        return in_place_of_outputs(records[0], self._settings, self._replaced > 1)

    def _went_through(
        self, error: Uncertain, offsets: Mapping[int, int], records: Sequence[Record]
    ) -> bool:
        """Whether the commit did, as the committed offsets say; if not, all is undone.

        No offset tells of a checkpoint without records: what it may have written is doubted.
        """
        log.warning("commit_uncertain", reason=str(error), offsets=dict(offsets))
        self._transaction.renew()
        ours = [partition for partition in offsets if self._source.owns(partition)]
        if ours and all(self._source.committed(at) == offsets[at] for at in ours):
            return True
        if not ours:
            self._state.doubt()
        self._state.undo()
        self._read_again("uncertain", error, records)
        return False

    def _take_back(self, error: Aborted, records: Sequence[Record]) -> None:
        self._abort()
        self._state.undo()
        refused = isinstance(error, Refused)
        if refused:
            self._narrow(error, len(records))
        self._read_again("refused" if refused else "rebalance", error, records)

    def _narrow(self, error: Aborted, records: int) -> None:
        """Refused twice for what is in it: halve the batch, down to the record that it is.

        The guard has accepted that record, so it is learned from; a dead letter stands for what
        cannot be published of it, first with the record's bytes and then without.
        """
        self._refusals += 1
        if self._refusals < REFUSALS_BEFORE_HALVING:
            return
        if records > 1:
            self._most = records // 2
            return
        self._replaced += 1
        if records == 0 or self._replaced > MOST_REPLACED:
            raise Fatal(
                f"the brokers refuse what one record leads to, and its dead letter as well "
                f"({error}): compare kafka.max_message_bytes with max.message.bytes of the topics, "
                "then start this process again"
            ) from error

    def _read_again(self, why: str, error: Exception, records: Sequence[Record]) -> None:
        log.warning("batch_undone", why=why, reason=str(error), records=len(records))
        self._metrics.aborts.labels(why).inc()
        self._source.rewind(_firsts(records))

    def _note_success(self) -> None:
        self._refusals, self._replaced = 0, 0
        self._most = min(2 * self._most, self._settings.batch.max_records)

    def _abort(self) -> None:
        """Abort; where that fails, a new producer settles what the one before has open."""
        try:
            self._transaction.abort()
        except Fatal as error:
            log.warning("abort_failed", reason=str(error))
            self._transaction.renew()


def run_batch(
    source: Source,
    transaction: Transaction,
    recommender: Processor,
    settings: Settings,
    metrics: ConsumerMetrics,
    clock: Clock,
) -> int:
    """One batch without checkpoints, over a log whose transactions never abort; see `Batches`."""
    state = Forgetful()
    return Batches(source, transaction, recommender, state, settings, metrics, clock).run()


def _firsts(records: Sequence[Record]) -> dict[int, int]:
    """The first offset of each partition among these."""
    firsts: dict[int, int] = {}
    for record in records:
        firsts.setdefault(record.partition, record.offset)
    return firsts


def _observe(
    result: BatchResult,
    records: int,
    metrics: ConsumerMetrics,
    clock: Clock,
    started: float,
    published: float,
) -> None:
    metrics.stage_seconds.labels("publish").observe(published - started)
    metrics.stage_seconds.labels("commit").observe(clock.monotonic() - published)
    metrics.batch_records.observe(records)
    metrics.recommendations.inc(result.recommendations)
    metrics.tasks.inc(result.tasks)
    now_ms = clock.now_ms()
    for timestamp in result.answered:
        metrics.latency_seconds.observe(max(0, now_ms - timestamp) / 1e3)
