"""`popularity`: candidates by their exponentially decayed counts, the best of five half-lives."""

from __future__ import annotations

from metarec_stream.compiled import compiled
from metarec_stream.evaluate.controls.choice import best_setting, rank_chosen
from metarec_stream.evaluate.controls.counts import DecayedCounts, count_outcome, no_counts
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

HALF_LIVES = (50.0, 500.0, 5_000.0, 10_000.0, 50_000.0)
"""In outcomes of the whole stream."""
UNCHOSEN_HALF_LIFE = 5_000.0
"""The middle one, where no row precedes the scored ones."""


def popularity(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """Rank by decayed counts; the half-life is the one of best MRR before the scored part."""
    return rank_chosen(stream, protocol, seed, UNCHOSEN_HALF_LIFE, best_half_life, rank_by_counts)


def best_half_life(stream: Stream, protocol: Protocol, seed: int) -> float:
    """The half-life of largest MRR on the rows before the scored ones; the shortest of equals."""
    before = slice(0, protocol.first_scored(len(stream)))
    return best_setting(
        stream, protocol, HALF_LIVES, UNCHOSEN_HALF_LIFE, seed, before, rank_by_counts
    )


def rank_by_counts(
    stream: Stream,
    protocol: Protocol,
    half_life: float,
    seed: int,
    part: slice,
    list_length: int = 0,
) -> RankedEvents:
    """Go through the stream up to the part's end, and rank the outcomes in the part."""
    ranking = start_ranking(stream, protocol, seed, part, list_length)
    counts = no_counts(len(stream.item_ids), half_life)
    _rank(ranking._replace(scores=counts.counted), counts)
    return ranked_events(ranking)


@compiled
def _rank(ranking: Ranking, counts: DecayedCounts) -> None:
    """The scores are the counts themselves: the common weight does not change their order."""
    for row in range(len(ranking.users)):
        if is_ranked(ranking, row):
            rank_event(ranking, row)
        appear(ranking, row)
        if ranking.outcome[row]:
            count_outcome(counts, ranking.items[row])
