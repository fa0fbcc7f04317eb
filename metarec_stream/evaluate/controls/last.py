"""`last`: the user's own items, the most recent first, then the others by decayed popularity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.evaluate.controls.choice import rank_chosen
from metarec_stream.evaluate.controls.counts import (
    DecayedCounts,
    count_outcome,
    fill_shares,
    no_counts,
)
from metarec_stream.evaluate.controls.popularity import UNCHOSEN_HALF_LIFE, best_half_life
from metarec_stream.evaluate.controls.ranking import (
    Ranking,
    appear,
    is_ranked,
    rank_event,
    ranked_events,
    start_ranking,
)
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream


def last(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """Rank by the user's recency, then by counts of popularity's best half-life before."""
    return rank_chosen(stream, protocol, seed, UNCHOSEN_HALF_LIFE, best_half_life, rank_by_recency)


def rank_by_recency(
    stream: Stream,
    protocol: Protocol,
    half_life: float,
    seed: int,
    part: slice,
    list_length: int = 0,
) -> RankedEvents:
    """Go through the stream up to the part's end, and rank the outcomes in the part."""
    ranking = start_ranking(stream, protocol, seed, part, list_length)
    latest = np.full(len(stream), -1, np.int64)
    _rank(ranking, no_counts(len(stream.item_ids), half_life), _pairs(stream), latest)
    return ranked_events(ranking)


def _pairs(stream: Stream) -> NDArray[np.int64]:
    """[n] the number of the row's user and item together, below n."""
    pairs = stream.users.astype(np.int64) * len(stream.item_ids) + stream.items
    numbers: NDArray[np.int64] = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
    return numbers


@compiled
def _rank(
    ranking: Ranking,
    counts: DecayedCounts,
    pairs: NDArray[np.int64],
    latest: NDArray[np.int64],
) -> None:
    """`latest` [n]: by the number of a pair, the row of its latest outcome, or -1."""
    for row in range(len(ranking.users)):
        if is_ranked(ranking, row):
            fill_shares(counts, ranking.known[0], 1.0, ranking.scores)
            _put_own_first(ranking, row, pairs, latest)
            rank_event(ranking, row)
        appear(ranking, row)
        if ranking.outcome[row]:
            count_outcome(counts, ranking.items[row])
            latest[pairs[row]] = row


@compiled
def _put_own_first(
    ranking: Ranking, row: int, pairs: NDArray[np.int64], latest: NDArray[np.int64]
) -> None:
    """Shares of popularity end at 1, above which come the rows."""
    past = ranking.previous[row]
    while past >= 0:
        if latest[pairs[past]] >= 0:
            ranking.scores[ranking.items[past]] = 2.0 + latest[pairs[past]]
        past = ranking.previous[past]
