"""The learner without its transport: task blocks in, meta versions out."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
import structlog
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from metarec_stream.adapters.value_sum.parameters import NAME
from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.task import TaskBlock
from metarec_stream.learner.buffer import ReplayBuffer
from metarec_stream.learner.drift import DriftWatch
from metarec_stream.learner.events import TaskEvents, concatenate, events_of, require_learnable
from metarec_stream.learner.gate import Gate, Verdict
from metarec_stream.learner.outer_loop import OuterLoop, prepare_device
from metarec_stream.learner.start import require_fit
from metarec_stream.learner.tables import ItemNumbers, SlowWeights
from metarec_stream.metrics import LearnerMetrics

_REPLAY_FROM_BLOCKS = 4
"""Replay begins when the buffer holds this many blocks: before, it repeats the few there are."""

logger = structlog.get_logger()


class Learner:
    """Learns every full block of fresh events, and decides when the candidate becomes a version.

    live: the version that consumers have. newest: the largest version number ever given out.
    Raises Fatal if the live version does not fit the settings or the device is not there.
    """

    def __init__(
        self,
        settings: Settings,
        live: MetaVersion,
        metrics: LearnerMetrics | None = None,
        newest: int | None = None,
    ) -> None:
        require_fit(live, settings)
        self._settings = settings.learn
        self._metrics = metrics or LearnerMetrics(CollectorRegistry())
        self._version = live.version
        self._newest = live.version if newest is None else newest
        device = prepare_device(settings.learn)
        self._items = ItemNumbers(live.items)
        self._live = SlowWeights(live, device)
        self._candidate = SlowWeights(live, device)
        self._loop = OuterLoop(settings.learn, self._candidate)
        candidates = 1 + settings.learn.strongest + settings.learn.random
        self._buffer = ReplayBuffer(settings.learn.buffer, settings.seed, candidates)
        self._gate = Gate(settings.gate)
        self._drift = DriftWatch(self._metrics)
        self._pending: deque[tuple[TaskEvents, int, int]] = deque()
        self._pending_events = 0
        self._task_offsets = dict(live.task_offsets)
        self._loss = float("nan")
        self._moved = False

    @property
    def version(self) -> int:
        """The live version's number."""
        return self._version

    @property
    def task_offsets(self) -> dict[int, int]:
        """Next offset of the tasks topic by partition, everything before it learned."""
        return dict(self._task_offsets)

    def take(self, block: TaskBlock, next_offset: int = 0) -> None:
        """Take up a block, and learn as soon as there are enough events for an outer step.

        next_offset: of the tasks topic, after the block. Raises Degraded for a block that cannot be
        learned from; nothing of it is kept.
        """
        theta = self._candidate.small["theta"]
        require_learnable(block, (theta.shape[0], theta.shape[1]))
        rows, new = self._items.rows(block.items)
        self._live.add_items(new)
        self._candidate.add_items(new)
        events = events_of(block, rows)
        self._metrics.tasks.inc(len(events))
        self._pending.append((events, block.partition, next_offset))
        self._pending_events += len(events)
        while self._pending_events >= self._settings.block:
            self._learn(self._take_pending(self._settings.block))

    def flush(self) -> None:
        """Learn what waits, also if it is less than a block."""
        if self._pending_events:
            self._learn(self._take_pending(self._pending_events))

    def decide(self, now_ms: int) -> MetaVersion | None:
        """The candidate as the new live version, if the gate lets it pass."""
        verdict = self._gate.verdict()
        if verdict is None:
            return None
        self._metrics.gate_margin.set(verdict.margin)
        self._metrics.gate_decisions.labels("published" if verdict.passed else "held").inc()
        return self._promote(verdict, now_ms) if verdict.passed else None

    def _take_pending(self, count: int) -> TaskEvents:
        """The first pending events; offsets move on over blocks that are used up."""
        parts: list[TaskEvents] = []
        wanted = count
        while wanted:
            events, partition, next_offset = self._pending.popleft()
            parts.append(events.take(slice(0, wanted)))
            if len(events) > wanted:
                rest = events.take(slice(wanted, None))
                self._pending.appendleft((rest, partition, next_offset))
            else:
                self._task_offsets[partition] = next_offset
            wanted -= len(parts[-1])
        self._pending_events -= count
        return concatenate(parts)

    def _learn(self, fresh: TaskEvents) -> None:
        """Score a block by both, then move the candidate; roll it back if it broke."""
        live = self._loop.score(self._live, fresh)
        self._drift.watch(live)
        candidate = self._step(fresh)
        more = range(self._settings.steps - 1)
        if candidate is None or any(self._step(fresh) is None for _ in more):
            self._roll_back()
            return
        self._loss = float(np.average(candidate, weights=fresh.weights))
        self._metrics.loss.set(self._loss)
        if self._moved:  # else the two were the same, and their difference says nothing
            self._gate.add(fresh.weights * (live - candidate))
        self._moved = True
        self._buffer.add(fresh)
        self._metrics.buffered.set(len(self._buffer))

    def _step(self, fresh: TaskEvents) -> NDArray[np.float32] | None:
        """One outer step; the loss of the fresh events before it, None if it was not applied."""
        started = time.perf_counter()
        each = self._loop.step(self._with_replay(fresh))
        self._metrics.step_seconds.observe(time.perf_counter() - started)
        return None if each is None else each[: len(fresh)]

    def _with_replay(self, fresh: TaskEvents) -> TaskEvents:
        count = int(len(fresh) * self._settings.replay)
        enough = min(_REPLAY_FROM_BLOCKS * self._settings.block, self._settings.buffer)
        if count == 0 or len(self._buffer) < enough:
            return fresh
        return concatenate([fresh, self._buffer.draw(count)])

    def _roll_back(self) -> None:
        """The candidate's loss is not a number: begin again from the live version."""
        logger.warning("candidate_rolled_back", live_version=self._version)
        self._metrics.gate_decisions.labels("refused").inc()
        self._candidate.take_over(self._live)
        self._loop.restart()
        self._compare_anew()

    def _compare_anew(self) -> None:
        """Candidate and live version are the same."""
        self._gate.reset()
        self._moved = False

    def _promote(self, verdict: Verdict, now_ms: int) -> MetaVersion:
        parent, self._version = self._version, self._newest + 1
        self._newest = self._version
        self._live.take_over(self._candidate)
        self._loop.adopt_parent()
        self._compare_anew()
        return MetaVersion(
            version=self._version,
            parent=parent,
            adapter=NAME,
            items=self._items.ids(),
            parameters=self._live.arrays(),
            metrics={
                "margin": verdict.margin,
                "standard_error": verdict.standard_error,
                "events": float(verdict.events),
                "loss": self._loss,
            },
            task_offsets=self.task_offsets,
            created_ms=now_ms,
        )
