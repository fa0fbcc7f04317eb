"""`markov`: what followed the user's latest item in any user's stream, then popularity."""

from __future__ import annotations

from functools import partial

import numpy as np

from metarec_stream.catalogue.neighbours import Relations, empty_neighbours, empty_relations
from metarec_stream.compiled import compiled
from metarec_stream.evaluate.controls.choice import rank_chosen
from metarec_stream.evaluate.controls.ranking import (
    Ranking,
    appear,
    is_ranked,
    rank_event,
    ranked_events,
    start_ranking,
)
from metarec_stream.evaluate.controls.related import (
    NEIGHBOURS,
    UNCHOSEN,
    Blend,
    Learned,
    best_blend,
    fill_popularity,
    learn,
    nothing_learned,
)
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream


def markov(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """Rank by decayed transitions; the settings are the best before the scored part."""
    choose = partial(best_blend, rank=rank_by_transitions)
    return rank_chosen(stream, protocol, seed, UNCHOSEN, choose, rank_by_transitions)


def rank_by_transitions(
    stream: Stream,
    protocol: Protocol,
    blend: Blend,
    seed: int,
    part: slice,
    list_length: int = 0,
) -> RankedEvents:
    """Go through the stream up to the part's end, and rank the outcomes in the part."""
    ranking = start_ranking(stream, protocol, seed, part, list_length)
    items = len(stream.item_ids)
    # Co-occurrence is not read here: one place an item is the least that can be written to.
    relations = empty_relations(items, 1, blend.half_life)._replace(
        transitions=empty_neighbours(items, NEIGHBOURS)
    )
    _rank(ranking, nothing_learned(stream, relations, 1, blend))
    return ranked_events(ranking)


@compiled
def _rank(ranking: Ranking, learned: Learned) -> None:
    for row in range(len(ranking.users)):
        user = ranking.users[row]
        if is_ranked(ranking, row):
            fill_popularity(learned, ranking.known[0], ranking.scores)
            if learned.recent_count[user] > 0:
                _add_followers(ranking, learned.relations, learned.recent[user, 0])
            rank_event(ranking, row)
        appear(ranking, row)
        if ranking.outcome[row]:
            learn(learned, user, ranking.items[row])


@compiled
def _add_followers(ranking: Ranking, relations: Relations, newest: int) -> None:
    """The decayed number of times that each item followed."""
    now = 1.0 / relations.scale[0]
    followers = relations.transitions
    for place in range(followers.length[newest]):
        weight = np.float64(followers.weight[newest, place])
        ranking.scores[followers.item[newest, place]] += weight * now
