"""The model `default`: the service's own pipeline, every event ranked before it is learned."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metarec_stream.catalogue.settings import CONTEXT_SLOTS
from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.admission import posted
from metarec_stream.evaluate.beforehand import NOTHING, Beforehand
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.metrics import LIST_LENGTH, RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.replay import Replay
from metarec_stream.evaluate.stream import Stream
from metarec_stream.pipeline.ablation import META
from metarec_stream.pipeline.compile_kernels import see_to_kernels
from metarec_stream.pipeline.recommender import RankProtocol, Recommender
from metarec_stream.pipeline.results import Observations
from metarec_stream.pipeline.seen import SeenItems
from metarec_stream.pipeline.slates import Slates


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the learner is heard, and who is told how far we are."""

    outer_every: int
    """Events of a batch; after each, the outer loop learns it and may publish a version."""
    progress: Callable[[int], None]
    """Called with the number of events done."""
    observed: Callable[[Observations], None] = lambda _observations: None
    """Called with what each batch ranked, before it counts as done; what it raises ends the
    replay."""


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


def with_context(settings: Settings, table: EventTable) -> Settings:
    """The settings with popularity kept apart by the table's context, unless they say by what."""
    names = settings.catalogue.context or tuple(table.context)[:CONTEXT_SLOTS]
    catalogue = settings.catalogue.model_copy(update={"context": names})
    return settings.model_copy(update={"catalogue": catalogue})


def replay_stream(
    table: EventTable,
    stream: Stream,
    protocol: Protocol,
    settings: Settings,
    pace: Pace,
    without: frozenset[str] = frozenset(),
    beforehand: Beforehand = NOTHING,
) -> RankedEvents:
    """Run the whole stream through the service, and return what was ranked before it was learned.

    without: parts of the recommender that are left out, of `ablation.PARTS`. Raises Fatal if an
    event that the protocol scores was not ranked.
    """
    settings = with_context(prequential_settings(settings, pace.outer_every), table)
    replay = Replay(
        settings,
        replace(_rank_protocol(stream, protocol), without=without),
        seen=SeenItems() if protocol.repeats == "mask" else None,
    )
    see_to_kernels()
    replay.recommender.warm_up()
    all_at_once = protocol.candidates == "all"
    if all_at_once:
        replay.recommender.announce(stream.item_ids)
        replay.recommender.apply_items(beforehand.items)
    appearing = _Appearing(replay.recommender, () if all_at_once else beforehand.items)
    replay.recommender.apply_profiles(beforehand.profiles)
    observed: list[Observations] = []
    started = time.perf_counter()
    frozen = protocol.first_frozen(len(stream))
    for rows in _batches(stream, protocol, pace.outer_every):
        topic = settings.topics.interactions
        events = [(posted(table, row, topic), int(table.ts[row])) for row in rows]
        learns = rows.start < frozen and META not in without
        step = replay.step if learns else replay.take
        observed.append(step(events).observations)
        appearing.tell()
        pace.observed(observed[-1])
        pace.progress(rows.stop)
    seconds = time.perf_counter() - started
    ranked = _ranked(observed, stream_numbers(replay.recommender.items, stream), seconds)
    _check_complete(ranked, stream.scored(protocol))
    return ranked


class _Appearing:
    """Tells the service of items once they have appeared in it."""

    def __init__(self, recommender: Recommender, items: Sequence[Record]) -> None:
        self._recommender = recommender
        self._untold = {record.key: record for record in items}
        self._appeared = 0

    def tell(self) -> None:
        """Of those that appeared since the last time."""
        items = self._recommender.items
        new = (item.encode() for item in items[self._appeared :])
        self._appeared = len(items)
        told = [self._untold.pop(item) for item in new if item in self._untold]
        if told:
            self._recommender.apply_items(told)


def _rank_protocol(stream: Stream, protocol: Protocol) -> RankProtocol:
    return RankProtocol(
        lists=True,
        negatives=protocol.negatives,
        slates=_slates(stream),
        together=protocol.simultaneous == "together",
    )


def _slates(stream: Stream) -> Slates | None:
    """Lists by offset, which is the row; numbers are the stream's, as its items are announced."""
    if not stream.slates.shape[1]:
        return None
    return Slates(np.flatnonzero(stream.asked), stream.slates)


def _batches(stream: Stream, protocol: Protocol, size: int) -> Iterator[range]:
    """Rows of the batches in order.

    One ends where the outer loop stops. Where the events of one time are ranked together, one ends
    where scoring begins, and otherwise none in the middle of a time.
    """
    rows = len(stream)
    cuts = {protocol.first_frozen(rows)}
    may_end = np.ones(rows + 1, np.bool_)
    if protocol.simultaneous == "together":
        cuts.add(protocol.first_scored(rows))
        may_end[1:rows] = np.diff(stream.ts) != 0
        may_end[list(cuts)] = True
    start = 0
    while start < rows:
        end = min([start + size, rows, *(cut for cut in cuts if cut > start)])
        end = start + int(np.flatnonzero(may_end[start : end + 1])[-1])
        if end == start:
            raise Fatal(
                f"more than {size} events have the time of row {start}: raise --outer-every"
            )
        yield range(start, end)
        start = end


def stream_numbers(items: list[str], stream: Stream) -> NDArray[np.int32]:
    """[items + 1] the stream's number of each of the recommender's items; -1 leads to -1.

    An item that was told of and never comes has none: -1.
    """
    numbers = {item: number for number, item in enumerate(stream.item_ids)}
    return np.array([*(numbers.get(item, -1) for item in items), -1], np.int32)


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
        probability=np.concatenate([part.probability for part in observed]),
    )


def _check_complete(ranked: RankedEvents, scored: NDArray[np.int64]) -> None:
    missing = np.setdiff1d(scored, ranked.rows, assume_unique=True)
    if len(missing):
        raise Fatal(
            f"{len(missing)} events that the protocol scores were not ranked, the first of them at "
            f"offset {missing[0]}: the service rejected or skipped it; see the log above"
        )
