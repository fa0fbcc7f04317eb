"""`popularity`: candidates by their exponentially decayed counts, the best of five half-lives."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.evaluate.metrics import LIST_LENGTH, RankedEvents, ranks
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream
from metarec_stream.pipeline.draw import draw_below

HALF_LIVES = (50, 500, 5_000, 10_000, 50_000)
"""In outcomes of the whole stream."""
_UNCHOSEN = 5_000
"""The middle one, where no row precedes the scored ones."""
_LARGEST_WEIGHT = 1e100
"""Of a new outcome, before all counts are brought down again."""


def popularity(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """Rank by decayed counts; the half-life is the one of best MRR before the scored part."""
    rank_by_counts(stream, protocol, _UNCHOSEN, seed, slice(0, 0))  # compiled before it is timed
    started = time.perf_counter()
    half_life = best_half_life(stream, protocol, seed)
    scored = slice(protocol.first_scored(len(stream)), len(stream))
    ranked = rank_by_counts(stream, protocol, half_life, seed, scored, LIST_LENGTH)
    return replace(ranked, seconds=time.perf_counter() - started)


def best_half_life(stream: Stream, protocol: Protocol, seed: int) -> int:
    """The half-life of largest MRR on the rows before the scored ones; the shortest of equals."""
    before = slice(0, protocol.first_scored(len(stream)))
    best, best_mrr = _UNCHOSEN, 0.0
    for half_life in HALF_LIVES:
        rank = ranks(rank_by_counts(stream, protocol, half_life, seed, before), protocol.ties)
        if len(rank) and (mrr := float(np.mean(1 / rank))) > best_mrr:
            best, best_mrr = half_life, mrr
    return best


def rank_by_counts(
    stream: Stream,
    protocol: Protocol,
    half_life: float,
    seed: int,
    part: slice,
    list_length: int = 0,
) -> RankedEvents:
    """Go through the stream up to the part's end, and rank the outcomes in the part."""
    masked = protocol.repeats == "mask"
    wanted = stream.outcome[part] & ~(stream.repeat[part] & masked)
    rows = np.flatnonzero(wanted) + part.start
    greater, equal = np.zeros(len(rows), np.int32), np.zeros(len(rows), np.int32)
    candidate = np.zeros(len(rows), np.bool_)
    lists = np.full((len(rows), list_length), -1, np.int32)
    first_known = len(stream.item_ids) if protocol.candidates == "all" else 0
    _rank(
        stream.users[: part.stop],
        stream.items[: part.stop],
        stream.outcome,
        stream.repeat,
        stream.previous,
        rows,
        np.zeros(len(stream.item_ids)),
        2.0 ** (1.0 / half_life),
        first_known,
        masked,
        protocol.negatives,
        seed,
        candidate,
        greater,
        equal,
        lists,
    )
    return RankedEvents(rows, candidate, greater, equal, lists, seconds=0.0)


@compiled
def _rank(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    outcome: NDArray[np.bool_],
    repeat: NDArray[np.bool_],
    previous: NDArray[np.int64],
    rows: NDArray[np.int64],
    counts: NDArray[np.float64],
    growth: float,
    known: int,
    masked: bool,
    negatives: int,
    seed: int,
    candidate: NDArray[np.bool_],
    greater: NDArray[np.int32],
    equal: NDArray[np.int32],
    lists: NDArray[np.int32],
) -> None:
    """Counts grow by an ever larger weight instead of being decayed: the order is the same."""
    state = np.full(1, seed, np.uint64)
    stamp = np.full(len(counts), -1, np.int64)
    weight = 1.0
    at = 0
    for row in range(len(users)):
        item = items[row]
        if at < len(rows) and rows[at] == row:
            excluded = _stamp_owned(items, previous, row, stamp) if masked else 0
            if lists.shape[1] > 0:
                _strongest(counts, known, stamp, row, lists[at])
            if item < known:
                candidate[at] = True
                if 0 < negatives < known - excluded - 1:
                    above, same = _among_drawn(counts, known, stamp, row, item, negatives, state)
                else:
                    above, same = _among_all(counts, known, stamp, row, item, masked)
                greater[at], equal[at] = above, same
            at += 1
        known = max(known, item + 1)
        if outcome[row]:
            weight *= growth
            counts[item] += weight
            if weight > _LARGEST_WEIGHT:
                counts /= weight
                weight = 1.0


@compiled
def _stamp_owned(
    items: NDArray[np.int32], previous: NDArray[np.int64], row: int, stamp: NDArray[np.int64]
) -> int:
    """Mark what the user had before the row; the number of marks."""
    owned = 0
    past = previous[row]
    while past >= 0:
        stamp[items[past]] = row
        owned += 1
        past = previous[past]
    return owned


@compiled
def _among_all(
    counts: NDArray[np.float64],
    known: int,
    stamp: NDArray[np.int64],
    row: int,
    item: int,
    masked: bool,
) -> tuple[int, int]:
    target = counts[item]
    above = 0
    same = 0
    for other in range(known):
        if masked and stamp[other] == row:
            continue
        above += counts[other] > target
        same += counts[other] == target
    return above, same


@compiled
def _among_drawn(
    counts: NDArray[np.float64],
    known: int,
    stamp: NDArray[np.int64],
    row: int,
    item: int,
    negatives: int,
    state: NDArray[np.uint64],
) -> tuple[int, int]:
    """Among distinct random candidates, each drawn with the same chance, and the target."""
    target = counts[item]
    above = 0
    same = 1
    drawn = 0
    while drawn < negatives:
        other = draw_below(state, known)
        if other == item or stamp[other] == row:
            continue
        stamp[other] = row
        above += counts[other] > target
        same += counts[other] == target
        drawn += 1
    return above, same


@compiled
def _strongest(
    counts: NDArray[np.float64],
    known: int,
    stamp: NDArray[np.int64],
    row: int,
    best: NDArray[np.int32],
) -> None:
    """The candidates of largest counts, by insertion; of equals the one seen first."""
    filled = 0
    for item in range(known):
        if filled == len(best) and counts[item] <= counts[best[-1]]:
            continue
        if stamp[item] == row:
            continue
        place = min(filled, len(best) - 1)
        while place > 0 and counts[best[place - 1]] < counts[item]:
            best[place] = best[place - 1]
            place -= 1
        best[place] = item
        filled = min(filled + 1, len(best))
