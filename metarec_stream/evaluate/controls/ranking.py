"""What all controls share, compiled: the rank of a target by scores, under every protocol."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream
from metarec_stream.pipeline.draw import draw_below


class Ranking(NamedTuple):
    """A pass through n events of a stream of N items, and the m ranked events it leaves."""

    users: NDArray[np.int32]
    """[n]"""
    items: NDArray[np.int32]
    """[n]"""
    applied: NDArray[np.bool_]
    """[n] as the stream's."""
    outcome: NDArray[np.bool_]
    """[n]"""
    previous: NDArray[np.int64]
    """[n] as the stream's."""
    rows: NDArray[np.int64]
    """[m] to be ranked, ascending."""
    slates: NDArray[np.int32]
    """[m, k] items that each is ranked among, -1 pads; k = 0: among all candidates."""
    candidate: NDArray[np.bool_]
    """[m]"""
    greater: NDArray[np.int32]
    """[m]"""
    equal: NDArray[np.int32]
    """[m]"""
    lists: NDArray[np.int32]
    """[m, k]"""
    scores: NDArray[np.float64]
    """[N] what a control fills in before each ranked event, up to `known`."""
    stamp: NDArray[np.int64]
    """[N] the last row at which the item was no candidate, or drawn already."""
    known: NDArray[np.int64]
    """[1] the items up to here are candidates."""
    at: NDArray[np.int64]
    """[1] events ranked so far."""
    draws: NDArray[np.uint64]
    """[1] state of the negatives' draws."""
    masked: bool
    negatives: int


def start_ranking(
    stream: Stream, protocol: Protocol, seed: int, part: slice, list_length: int
) -> Ranking:
    """A pass up to the part's end that ranks what is asked in the part."""
    rows = stream.ranked(protocol, part)
    count = len(stream.item_ids)
    return Ranking(
        users=stream.users[: part.stop],
        items=stream.items[: part.stop],
        applied=stream.applied[: part.stop],
        outcome=stream.outcome[: part.stop],
        previous=stream.previous[: part.stop],
        rows=rows,
        slates=stream.slates_of(rows),
        candidate=np.zeros(len(rows), np.bool_),
        greater=np.zeros(len(rows), np.int32),
        equal=np.zeros(len(rows), np.int32),
        lists=np.full((len(rows), list_length), -1, np.int32),
        scores=np.zeros(count),
        stamp=np.full(count, -1, np.int64),
        known=np.full(1, count if protocol.candidates == "all" else 0, np.int64),
        at=np.zeros(1, np.int64),
        draws=np.full(1, seed, np.uint64),
        masked=protocol.repeats == "mask",
        negatives=protocol.negatives,
    )


def ranked_events(ranking: Ranking) -> RankedEvents:
    """What the pass has ranked, not yet timed."""
    return RankedEvents(
        ranking.rows,
        ranking.candidate,
        ranking.greater,
        ranking.equal,
        ranking.lists,
        seconds=0.0,
    )


@compiled
def is_ranked(ranking: Ranking, row: int) -> bool:
    """Whether the row is the next to be ranked: then the scores have to be filled in."""
    at = ranking.at[0]
    return bool(at < len(ranking.rows) and ranking.rows[at] == row)


@compiled
def rank_event(ranking: Ranking, row: int) -> None:
    """Rank the row's item by the scores that are filled in; below those that are no numbers."""
    item = ranking.items[row]
    known = ranking.known[0]
    at = ranking.at[0]
    excluded = _stamp_owned(ranking, row) if ranking.masked else 0
    if ranking.lists.shape[1] > 0:
        _strongest(ranking, row, ranking.lists[at])
    if item < known:
        ranking.candidate[at] = True
        if ranking.slates.shape[1] > 0:
            above, same = _among_slate(ranking, row)
        elif 0 < ranking.negatives < known - excluded - 1:
            above, same = _among_drawn(ranking, row)
        else:
            above, same = _among_all(ranking, row)
        ranking.greater[at], ranking.equal[at] = above, same
    ranking.at[0] += 1


@compiled
def appear(ranking: Ranking, row: int) -> None:
    """If the event happens at the row, its item is a candidate from the next row on."""
    if ranking.applied[row]:
        ranking.known[0] = max(ranking.known[0], ranking.items[row] + 1)


@compiled
def _stamp_owned(ranking: Ranking, row: int) -> int:
    """Mark what the user had before the row; the number of marks."""
    owned = 0
    past = ranking.previous[row]
    while past >= 0:
        ranking.stamp[ranking.items[past]] = row
        owned += 1
        past = ranking.previous[past]
    return owned


@compiled
def _among_all(ranking: Ranking, row: int) -> tuple[int, int]:
    scores = ranking.scores
    target = scores[ranking.items[row]]
    above = 0
    same = 0
    for other in range(ranking.known[0]):
        if ranking.masked and ranking.stamp[other] == row:
            continue
        above += not scores[other] <= target
        same += scores[other] == target
    return above, same


@compiled
def _among_slate(ranking: Ranking, row: int) -> tuple[int, int]:
    """Among the row's own list, as far as it holds candidates, and the target."""
    scores = ranking.scores
    item = ranking.items[row]
    above = 0
    same = 1
    for other in ranking.slates[ranking.at[0]]:
        if other < 0 or other == item or other >= ranking.known[0]:
            continue
        if ranking.masked and ranking.stamp[other] == row:
            continue
        above += not scores[other] <= scores[item]
        same += scores[other] == scores[item]
    return above, same


@compiled
def _among_drawn(ranking: Ranking, row: int) -> tuple[int, int]:
    """Among distinct random candidates, each drawn with the same chance, and the target."""
    scores = ranking.scores
    item = ranking.items[row]
    above = 0
    same = 1
    drawn = 0
    while drawn < ranking.negatives:
        other = draw_below(ranking.draws, ranking.known[0])
        if other == item or ranking.stamp[other] == row:
            continue
        ranking.stamp[other] = row
        above += not scores[other] <= scores[item]
        same += scores[other] == scores[item]
        drawn += 1
    return above, same


@compiled
def _strongest(ranking: Ranking, row: int, best: NDArray[np.int32]) -> None:
    """The candidates of largest scores, by insertion; of equals the one seen first."""
    scores = ranking.scores
    filled = 0
    for item in range(ranking.known[0]):
        if filled == len(best) and scores[item] <= scores[best[-1]]:
            continue
        if ranking.stamp[item] == row:
            continue
        place = min(filled, len(best) - 1)
        while place > 0 and scores[best[place - 1]] < scores[item]:
            best[place] = best[place - 1]
            place -= 1
        best[place] = item
        filled = min(filled + 1, len(best))
