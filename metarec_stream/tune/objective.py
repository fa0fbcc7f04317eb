"""What is maximised: the default's prequential MRR on an interval of a stream."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from metarec_stream.config import Settings
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.metrics import RankedEvents, ranks, report
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream, stream_of
from metarec_stream.pipeline.results import Observations
from metarec_stream.settings_sources import BadConfiguration
from metarec_stream.tune.space import Value, with_values

SEGMENTS = 10
"""Parts of the scored interval; after each but the last the MRR so far is told."""
_NOT_OF_THE_OBJECTIVE = frozenset(
    {"application", "instance_id", "emit", "kafka", "topics", "batch", "output", "http", "log",
     "data"}
)  # fmt: skip


class Pruned(Exception):
    """Raised out of a watcher: the trial is not worth going on with."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told how a trial goes; either may raise to end it."""

    events: Callable[[int], None]
    """Called with the number of events done."""
    segment: Callable[[int, float], None]
    """Called with the number of scored segments done, from 1, and the MRR over all of them."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A stream that ends where scoring ends, and how it is scored; can be sent to a process."""

    table: EventTable
    protocol: Protocol
    settings: Settings
    outer_every: int

    def mrr(self, values: Mapping[str, Value], watch: Watch) -> float:
        """The MRR with these settings in place of the present ones; what a watcher raises ends it.

        The stream is replayed from its first event, from version 0.
        """
        # Only here is the learner needed, hence torch, which takes seconds to import.
        from metarec_stream.evaluate.prequential import Pace, replay_stream

        settings = with_values(self.settings, values)
        stream = stream_of(self.table, settings.events.table())
        running = _RunningMrr(stream, self.protocol, watch.segment)
        pace = Pace(self.outer_every, watch.events, running.take)
        ranked = replay_stream(self.table, stream, self.protocol, settings, pace)
        found = report(ranked, stream, self.protocol)["mrr"]
        assert isinstance(found, float)
        return found

    def description(self) -> dict[str, Any]:
        """What trials must have in common to be compared."""
        kept = self.settings.model_dump(mode="json", exclude=set(_NOT_OF_THE_OBJECTIVE))
        return {
            "events": _digest(self.table),
            "protocol": {**asdict(self.protocol), "outer_every": self.outer_every},
            "settings": kept,
        }


def objective_until(
    score_to: float, table: EventTable, protocol: Protocol, settings: Settings, outer_every: int
) -> Objective:
    """An objective that sees the table's rows up to the share `score_to`, and no later one.

    The protocol's `score_from` is a share of the whole table too. Raises BadConfiguration if no
    event between the two would be scored.
    """
    first = protocol.first_scored(len(table))
    last = replace(protocol, score_from=score_to).first_scored(len(table))
    wrong = f"no event is scored between --score-from {protocol.score_from} and --score-to "
    if first >= last:
        raise BadConfiguration(f"{wrong}{score_to}: --score-to must be the larger one")
    cut = _first_rows(table, last)
    inside = replace(protocol, score_from=first / last)
    if not len(stream_of(cut, settings.events.table()).scored(inside)):
        raise BadConfiguration(f"{wrong}{score_to}: none of those rows is an outcome to predict")
    return Objective(cut, inside, settings, outer_every)


class _RunningMrr:
    """The MRR so far, told whenever a segment of the scored interval is complete."""

    def __init__(
        self, stream: Stream, protocol: Protocol, tell: Callable[[int, float], None]
    ) -> None:
        self._protocol = protocol
        self._scored = stream.scored(protocol)
        self._first = protocol.first_scored(len(stream))
        self._rows = len(stream) - self._first
        self._tell = tell
        self._told = 0
        self._sum = 0.0
        self._count = 0

    def take(self, observed: Observations) -> None:
        ranked = RankedEvents(
            rows=observed.offset,
            candidate=observed.candidate,
            greater=observed.greater,
            equal=observed.equal,
            lists=observed.lists,
            seconds=0.0,
        ).of(self._scored)
        self._sum += float(np.sum(1 / ranks(ranked, self._protocol.ties)))
        self._count += len(ranked.rows)
        if not len(observed) or not self._count:
            return
        done = int(observed.offset[-1]) + 1 - self._first
        segment = min(done * SEGMENTS // self._rows, SEGMENTS - 1)
        if segment > self._told:
            self._told = segment
            self._tell(segment, self._sum / self._count)


def _first_rows(table: EventTable, rows: int) -> EventTable:
    return replace(
        table,
        user=table.user[:rows],
        item=table.item[:rows],
        ts=table.ts[:rows],
        type=None if table.type is None else table.type[:rows],
        value=None if table.value is None else table.value[:rows],
    )


def _digest(table: EventTable) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(table.ts).tobytes())
    digest.update(repr((table.user, table.item, table.type)).encode())
    digest.update(b"" if table.value is None else table.value.tobytes())
    return digest.hexdigest()
