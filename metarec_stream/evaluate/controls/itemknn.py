"""`itemknn`: the cosine of windowed co-occurrence with the user's latest items, then popularity."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from metarec_stream.catalogue.neighbours import (
    COMPANIONS,
    empty_neighbours,
    empty_relations,
)
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

_FADING = 0.25
"""The item of rank r among the user's latest weighs e^(-0.25 r)."""
_SHRINKAGE = 10.0
"""Added to both items' outcomes in the cosine, against chance among rare ones."""


def itemknn(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """Rank by weighted cosines; the settings are the best before the scored part."""
    choose = partial(best_blend, rank=rank_by_companions)
    return rank_chosen(stream, protocol, seed, UNCHOSEN, choose, rank_by_companions)


def rank_by_companions(
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
    # Transitions are not read here: one place an item is the least that can be written to.
    relations = empty_relations(items, 1, blend.half_life)._replace(
        cooccurrence=empty_neighbours(items, NEIGHBOURS)
    )
    _rank(ranking, nothing_learned(stream, relations, COMPANIONS, blend))
    return ranked_events(ranking)


@compiled
def _rank(ranking: Ranking, learned: Learned) -> None:
    for row in range(len(ranking.users)):
        user = ranking.users[row]
        if is_ranked(ranking, row):
            fill_popularity(learned, ranking.known[0], ranking.scores)
            for rank in range(learned.recent_count[user]):
                weight = math.exp(-_FADING * rank)
                _add_companions(ranking, learned, learned.recent[user, rank], weight)
            rank_event(ranking, row)
        appear(ranking, row)
        if ranking.outcome[row]:
            learn(learned, user, ranking.items[row])


@compiled
def _add_companions(ranking: Ranking, learned: Learned, item: int, weight: float) -> None:
    """The cosine of each companion with one item of the user's."""
    companions = learned.relations.cooccurrence
    share = weight / learned.relations.scale[0] / math.sqrt(learned.wanted[item] + _SHRINKAGE)
    for place in range(companions.length[item]):
        other = companions.item[item, place]
        together = np.float64(companions.weight[item, place])
        ranking.scores[other] += share * together / math.sqrt(learned.wanted[other] + _SHRINKAGE)
