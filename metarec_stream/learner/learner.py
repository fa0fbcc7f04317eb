"""The learner without its transport: task blocks in, meta versions out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import structlog
from msgspec.structs import replace
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from metarec_stream.adapters.value_sum.parameters import NAME
from metarec_stream.catalogue.content import widened
from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.receipt import Receipt
from metarec_stream.contract.task import MOST_TOKENS, TaskBlock
from metarec_stream.learner.buffer import ReplayBuffer
from metarec_stream.learner.contenders import Contenders
from metarec_stream.learner.drift import DriftWatch
from metarec_stream.learner.erasures import Erasures
from metarec_stream.learner.events import TaskEvents, concatenate, events_of, require_learnable
from metarec_stream.learner.gate import Gate, Verdict
from metarec_stream.learner.influence import weighed
from metarec_stream.learner.inputs import PrefixChoice
from metarec_stream.learner.leader import Leader
from metarec_stream.learner.pending import PendingEvents
from metarec_stream.learner.processes import Processes
from metarec_stream.learner.replica import Replica
from metarec_stream.learner.snapshot import (
    Progress,
    SinceAnchor,
    Snapshot,
    beginning,
    reconciled,
    under,
)
from metarec_stream.learner.start import require_fit
from metarec_stream.learner.tables import ItemNumbers
from metarec_stream.learner.tracking import NO_TRACKING, Tracking, describe
from metarec_stream.metrics import LearnerMetrics

_REPLAY_FROM_BLOCKS = 4
"""Replay begins when the buffer holds this many blocks: before, it repeats the few there are."""

logger = structlog.get_logger()


class Learner:
    """Learns every full block of fresh events, and decides when the candidate becomes a version.

    live: the version that consumers have. newest: the largest version number ever given out.
    checkpoint: what an earlier learner knew; `reconciled` says what stays of it. processes: of
    which this one leads. Raises Fatal if the live version does not fit the settings or the device
    is not there.
    """

    def __init__(
        self,
        settings: Settings,
        live: MetaVersion,
        metrics: LearnerMetrics | None = None,
        newest: int | None = None,
        checkpoint: Snapshot | None = None,
        processes: Processes | None = None,
        tracking: Tracking = NO_TRACKING,
    ) -> None:
        require_fit(live, settings)
        newest = live.version if newest is None else newest
        start = reconciled(checkpoint, live, newest) if checkpoint else beginning(live, newest)
        progress = start.progress
        self._settings = settings.learn
        self._metrics = metrics or LearnerMetrics(CollectorRegistry())
        self._tracking = tracking
        self._version, self._newest = progress.version, progress.newest
        self._created_ms = progress.created_ms
        self._items = ItemNumbers(progress.items)
        processes = processes or Processes(settings.learn)
        self._leader = Leader(settings.learn, processes, progress.items, start.arrays)
        candidates = 1 + settings.learn.strongest + settings.learn.random
        self._buffer = ReplayBuffer(
            settings.learn.buffer, settings.seed, candidates, settings.learn.replay_balance
        )
        self._gate = Gate(settings.gate)
        self._drift = DriftWatch(self._metrics)
        self._pending = PendingEvents(progress.learned, progress.taken)
        self._erasures, self._receipts = Erasures(), progress.receipts
        self._drift_blocks = progress.drift_blocks
        self._events = progress.events
        self._loss = progress.loss
        self._contenders = replace(progress.contenders)
        self._step_seconds = 0.0
        self.hurried = False
        """Whether more comes than is learned: then a block gets one outer step."""
        self._anchor_every = settings.gate.window
        self._since_anchor = replace(progress.since_anchor)
        self._restore(start)

    @property
    def version(self) -> int:
        """The live version's number."""
        return self._version

    @property
    def events(self) -> int:
        """Events learned, those before a restart included."""
        return self._events

    @property
    def replica(self) -> Replica:
        """The weights in learning."""
        return self._leader.replica

    @property
    def reacting(self) -> bool:
        """Whether the users changed just now: what is learned is to be published at once."""
        return self._drift_blocks > 0

    @property
    def task_offsets(self) -> dict[int, int]:
        """Next offset of the tasks topic by partition, everything before it learned."""
        return dict(self._pending.learned)

    @property
    def taken_offsets(self) -> dict[int, int]:
        """Next offset of the tasks topic to read: what waits for a full block is before it."""
        return dict(self._pending.taken)

    def take(self, block: TaskBlock, next_offset: int = 0) -> None:
        """Take up a block, and learn as soon as there are enough events for an outer step.

        next_offset: of the tasks topic, after the block. Raises Degraded for a block that cannot be
        learned from; nothing of it is kept.
        """
        theta = self.replica.candidate.small["theta"]
        require_learnable(block, (theta.shape[0], theta.shape[1]))
        block = self._erasures.without_erased(block)
        rows, new = self._items.rows(block.items)
        self._leader.add_items(new)
        self._take_content(rows, block)
        events = events_of(block, rows)
        self._metrics.tasks.inc(len(events))
        self._pending.add(events, block.partition, next_offset)
        while len(self._pending) >= self._settings.block:
            self._learn(self._pending.take(self._settings.block))

    def erase(self, receipts: Sequence[tuple[Receipt, int]]) -> int:
        """Forget users; how many events of theirs were kept.

        receipts: each with the offset after it. What comes of these users' past later is left out.
        """
        users = self._erasures.note(receipt for receipt, _ in receipts)
        new = [following > self._receipts for _, following in receipts]
        self._receipts = max([self._receipts, *(following for _, following in receipts)])
        users = users[np.array(new, np.bool_)]
        return self._pending.forget(users) + self._buffer.forget(users)

    def _take_content(self, rows: NDArray[np.int32], block: TaskBlock) -> None:
        """What the consumer knew of the block's items is what they are learned with."""
        numbers, tokens = rows.astype(np.int64), widened(block.item_tokens)
        other = (self.replica.content.of(numbers, MOST_TOKENS) != tokens).any(1)
        if other.any():
            self._leader.put_content(numbers[other], tokens[other])

    def flush(self) -> None:
        """Learn what waits, also if it is less than a block."""
        if len(self._pending):
            self._learn(self._pending.take(len(self._pending)))

    def decide(self, now_ms: int) -> MetaVersion | None:
        """A new live version: the candidate while the gate trusts it, the anchor if it fails."""
        verdict = self._gate.verdict()
        if verdict is None:
            return None
        self._metrics.gate_margin.set(verdict.margin)
        version = self._follow(verdict, now_ms)
        outcome = "held" if version is None else verdict.outcome
        self._metrics.gate_decisions.labels(outcome).inc()
        gate = {"gate/margin": verdict.margin, "gate/standard_error": verdict.standard_error}
        small = describe(self.replica.candidate.small)
        self._tracking.scalars(self._events, {**gate, "version": self._version, **small})
        return version

    def turn(self, stop: bool) -> bool:
        """Whether any of the learner's processes was asked to stop."""
        return self._leader.turn(stop)

    def end(self) -> None:
        """The other processes end; nothing can be learned after it if there are any."""
        self._leader.end()

    def snapshot(self) -> Snapshot:
        """All it knows: a learner that is given this goes on just as this one would."""
        waiting = self._pending.waiting()
        progress = Progress(
            version=self._version,
            created_ms=self._created_ms,
            newest=self._newest,
            items=self._items.ids(),
            learned=self.task_offsets,
            taken=self.taken_offsets,
            receipts=self._receipts,
            waiting=[(partition, next_offset) for _, partition, next_offset in waiting],
            since_anchor=replace(self._since_anchor),
            decided=self._gate.decided,
            trust=self._gate.trust,
            drift_blocks=self._drift_blocks,
            events=self._events,
            loss=self._loss,
            contenders=replace(self._contenders),
            added=self._buffer.added,
            random_state=self._buffer.random_state(),
        )
        kept = {"buffer": self._buffer.kept()}
        kept |= {f"waiting/{number}": each.arrays() for number, (each, *_) in enumerate(waiting)}
        arrays = {f"{where}/{name}": a for where, each in kept.items() for name, a in each.items()}
        arrays |= {"gate": self._gate.differences(), "drift": self._drift.means()}
        return Snapshot(progress, {**self.replica.arrays(), **arrays})

    def _restore(self, start: Snapshot) -> None:
        """Take up what a checkpoint has beside the weights."""
        progress = start.progress
        if progress.random_state:
            self._buffer.restore(
                under("buffer", start.arrays), progress.added, progress.random_state
            )
        if "gate" in start.arrays:
            self._gate.restore(start.arrays["gate"], progress.decided, progress.trust)
        if "drift" in start.arrays:
            self._drift.restore(start.arrays["drift"])
        for number, (partition, next_offset) in enumerate(progress.waiting):
            events = TaskEvents(**under(f"waiting/{number}", start.arrays))
            self._pending.add(events, partition, next_offset)

    def _learn(self, fresh: TaskEvents) -> None:
        """Score a block by all, then move the candidate; roll it back if it broke."""
        started = time.perf_counter()
        fresh = weighed(fresh, self._settings)
        anchor, average = self._leader.judge(fresh)
        drifted = self._drifted(anchor)
        self._events += len(fresh)
        candidate, learned = self._step(fresh), fresh.learned()
        more = range(self._steps() - 1)
        if candidate is None or any(self._step(learned) is None for _ in more):
            self._roll_back()
            return
        losses = {"anchor": anchor, "candidate": candidate, "average": average}
        means = {
            name: float(np.average(each, weights=fresh.weights)) for name, each in losses.items()
        }
        contender = self._contenders.chosen
        self._contenders.note(candidate, average, fresh.weights)
        self._loss = means[contender]
        self._metrics.loss.set(self._loss)
        # Where the two were the same, their difference says nothing; trust may still publish.
        told = fresh.weights * (anchor - losses[contender])
        self._gate.add(told if self._since_anchor.events else told[:0])
        if drifted:
            self._gate.after_drift()
            self._contenders = Contenders()
        self._since_anchor.events += len(fresh)
        self._buffer.add(learned)
        self._metrics.buffered.set(len(self._buffer))
        self._track(means, time.perf_counter() - started)

    def _drifted(self, anchor: NDArray[np.float32]) -> bool:
        """Whether to react to a drift that a block's losses show."""
        risen = self._drift.watch(anchor)
        self._drift_blocks = max(self._drift_blocks - 1, 0)
        if risen <= 0 or self._settings.on_drift == "note":
            return False
        self._drift_blocks = self._settings.drift_blocks
        return True

    def _track(self, losses: Mapping[str, float], seconds: float) -> None:
        self._tracking.scalars(
            self._events,
            {
                **{f"loss/{name}": loss for name, loss in losses.items()},
                "drift/recent_loss": self._drift.recent_loss,
                "drift/recent_events": self._drift.recent_events,
                "drift/found": self._drift.found,
                "seconds/block": seconds,
                "seconds/step": self._step_seconds,
            },
        )

    def _step(self, fresh: TaskEvents) -> NDArray[np.float32] | None:
        """One outer step; the loss of the fresh events before it, None if it was not applied."""
        started = time.perf_counter()
        each = self._leader.step(self._with_replay(fresh), self._prefix_choice(len(fresh)))
        self._step_seconds = time.perf_counter() - started
        self._metrics.step_seconds.observe(self._step_seconds)
        return None if each is None else each[: len(fresh)]

    def _with_replay(self, fresh: TaskEvents) -> TaskEvents:
        count = int(len(fresh) * self._settings.replay)
        enough = min(_REPLAY_FROM_BLOCKS * self._settings.block, self._settings.buffer)
        if count == 0 or len(self._buffer) < enough:
            return fresh
        return concatenate([fresh, self._buffer.draw(count)])

    def _steps(self) -> int:
        if self.hurried:
            return 1
        if self.reacting:
            return self._settings.drift_steps or 2 * self._settings.steps
        return self._settings.steps

    def _prefix_choice(self, fresh: int) -> PrefixChoice | None:
        """After a drift, only what came since tells of it: fresh windows, and their newest most."""
        if not self.reacting or not self._settings.prefix_events:
            return None
        settings = self._settings
        return PrefixChoice(settings.drift_prefix_events, fresh, settings.drift_half_life)

    def _follow(self, verdict: Verdict, now_ms: int) -> MetaVersion | None:
        if verdict.outcome == "held":
            return None
        if verdict.outcome == "withdrawn":
            return self._withdraw(verdict, now_ms)
        version = self._new_version(verdict, now_ms)
        self._since_anchor.published = True
        if self._since_anchor.events >= self._anchor_every and verdict.events:
            self._leader.anchor_at(self._contenders.chosen)
            self._compare_anew()
        return version

    def _withdraw(self, verdict: Verdict, now_ms: int) -> MetaVersion | None:
        """Learning went wrong: begin again from the anchor, and publish that if it is not live."""
        if not self._since_anchor.published:
            return None
        logger.warning("meta_version_withdrawn", version=self._version, margin=verdict.margin)
        self._begin_from_anchor()
        return self._new_version(verdict, now_ms)

    def _roll_back(self) -> None:
        """The candidate's loss is not a number: begin again from the anchor."""
        logger.warning("candidate_rolled_back", live_version=self._version)
        self._metrics.gate_decisions.labels("refused").inc()
        self._begin_from_anchor()

    def _begin_from_anchor(self) -> None:
        """What was learned since is forgotten."""
        self._leader.roll_back()
        self._contenders = Contenders()
        self._compare_anew()

    def _compare_anew(self) -> None:
        """The contender has just become the anchor, or the anchor the contender."""
        self._gate.new_anchor()
        self._since_anchor = SinceAnchor()

    def _new_version(self, verdict: Verdict, now_ms: int) -> MetaVersion:
        chosen = self._contenders.chosen
        parent, self._version = self._version, self._newest + 1
        self._newest, self._created_ms = self._version, now_ms
        return MetaVersion(
            version=self._version,
            parent=parent,
            adapter=NAME,
            items=self._items.ids(),
            parameters=self.replica.contender(chosen).arrays(),
            metrics={
                "margin": verdict.margin,
                "standard_error": verdict.standard_error,
                "events": float(verdict.events),
                "loss": self._loss,
                "averaged": float(chosen == "average"),
            },
            task_offsets=self.task_offsets,
            created_ms=now_ms,
        )
