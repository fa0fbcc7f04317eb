"""The model `default`: the service's own pipeline, every event ranked before it is learned."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.admission import posted
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.metrics import LIST_LENGTH, RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.replay import Replay
from metarec_stream.evaluate.stream import Stream
from metarec_stream.pipeline.recommender import RankProtocol
from metarec_stream.pipeline.results import Observations
from metarec_stream.pipeline.seen import SeenItems


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the learner is heard, and who is told how far we are."""

    outer_every: int
    """Events of a batch; after each, the outer loop learns it and may publish a version."""
    progress: Callable[[int], None]
    """Called with the number of events done."""


def prequential_settings(settings: Settings, outer_every: int) -> Settings:
    """The settings with every event observed, and a version whenever the gate lets one pass."""
    learn = settings.learn.model_copy(
        update={
            "sample": 1.0,
            "sample_per_batch": outer_every,
            "block": min(settings.learn.block, outer_every),
            "publish_every_s": 0.0,
        }
    )
    batch = settings.batch.model_copy(update={"max_records": outer_every})
    rank = settings.rank.model_copy(update={"top_k": max(settings.rank.top_k, LIST_LENGTH)})
    return settings.model_copy(update={"learn": learn, "batch": batch, "rank": rank})


def replay_stream(
    table: EventTable, stream: Stream, protocol: Protocol, settings: Settings, pace: Pace
) -> RankedEvents:
    """Run the whole stream through the service, and return what was ranked before it was learned.

    Raises Fatal if an event that the protocol scores was not ranked.
    """
    settings = prequential_settings(settings, pace.outer_every)
    replay = Replay(
        settings,
        RankProtocol(lists=True, negatives=protocol.negatives),
        seen=SeenItems() if protocol.repeats == "mask" else None,
    )
    replay.recommender.warm_up()
    if protocol.candidates == "all":
        replay.recommender.announce(stream.item_ids)
    observed: list[Observations] = []
    started = time.perf_counter()
    for start in range(0, len(stream), pace.outer_every):
        rows = range(start, min(start + pace.outer_every, len(stream)))
        topic = settings.topics.interactions
        events = [(posted(table, row, topic), int(table.ts[row])) for row in rows]
        observed.append(replay.step(events).observations)
        pace.progress(rows.stop)
    seconds = time.perf_counter() - started
    ranked = _ranked(observed, stream_numbers(replay.recommender.items, stream), seconds)
    _check_complete(ranked, stream.scored(protocol))
    return ranked


def stream_numbers(items: list[str], stream: Stream) -> NDArray[np.int32]:
    """[items + 1] the stream's number of each of the recommender's items; -1 leads to -1."""
    numbers = {item: number for number, item in enumerate(stream.item_ids)}
    return np.array([*(numbers[item] for item in items), -1], np.int32)


def _ranked(
    observed: list[Observations], numbers: NDArray[np.int32], seconds: float
) -> RankedEvents:
    return RankedEvents(
        rows=np.concatenate([part.offset for part in observed]),
        candidate=np.concatenate([part.candidate for part in observed]),
        greater=np.concatenate([part.greater for part in observed]),
        equal=np.concatenate([part.equal for part in observed]),
        lists=numbers[np.concatenate([part.lists for part in observed])],
        seconds=seconds,
    )


def _check_complete(ranked: RankedEvents, scored: NDArray[np.int64]) -> None:
    missing = np.setdiff1d(scored, ranked.rows, assume_unique=True)
    if len(missing):
        raise Fatal(
            f"{len(missing)} events that the protocol scores were not ranked, the first of them at "
            f"offset {missing[0]}: the service rejected or skipped it; see the log above"
        )
