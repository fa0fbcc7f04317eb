"""A plain reading of CHAMELEON's baseline `SR`, on which its protocol is checked.

What followed an item within ten clicks of a session, weighted by 1 / distance; an item that never
followed the session's latest is not ranked (Ludewig and Jannach 2018).
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from metarec_stream.evaluate.metrics import Measures, measures
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream

_REACH = 10


def rank_by_rules(stream: Stream, session: NDArray[np.int64], protocol: Protocol) -> Measures:
    """Measures of the scored rows, with the rules as of each row."""
    rules: defaultdict[int, dict[int, float]] = defaultdict(dict)
    clicks: defaultdict[int, list[int]] = defaultdict(list)
    scored = stream.scored(protocol)
    slates = dict(zip(scored.tolist(), stream.slates_of(scored).tolist(), strict=True))
    places = []
    events = zip(stream.items.tolist(), session.tolist(), strict=True)
    for row, (item, number) in enumerate(events):
        own = clicks[number]
        if row in slates:
            places.append(_place(rules[own[-1]], item, slates[row]))
        for distance, past in enumerate(reversed(own[-_REACH:]), 1):
            followers = rules[past]
            followers[item] = followers.get(item, 0.0) + 1 / distance
        own.append(item)
    return measures(np.array(places))


def _place(scores: dict[int, float], item: int, slate: list[int]) -> float:
    if item not in scores:
        return np.inf
    others = [scores.get(other, 0.0) for other in slate if other >= 0]
    above = sum(score > scores[item] for score in others)
    return 1 + above + sum(score == scores[item] for score in others) / 2
