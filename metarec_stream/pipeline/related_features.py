"""Related features, compiled: what followed or accompanied the items in a user's ring."""

from __future__ import annotations

import math

import numpy as np

from metarec_stream.catalogue.histories import (
    HISTORY,
    Histories,
    find_alike,
    least_alike,
    place_of,
)
from metarec_stream.catalogue.neighbours import COMPANIONS, WIDE_COMPANIONS, Relations
from metarec_stream.catalogue.popularity import Popularity
from metarec_stream.compiled import compiled
from metarec_stream.pipeline.features import RELATED
from metarec_stream.pipeline.scratch import Scratch
from metarec_stream.pipeline.snapshots import Snapshots

LOG_SLOPE = np.float32(math.log(2.0) * 2.0**-23)
"""Of the bits of a float: its logarithm as a straight line, see `score`."""
THIRD = np.float32(1.0 / 3.0)
_RELATED = len(RELATED)
_RECENT = RELATED.index("recent_transition_from_latest")
"""The first of two features."""
_ALIKE = RELATED.index("cooccurrence_in_histories_alike")
_FEW_ALIKE = np.float32(1)
"""Similarity of nobody in particular, so that one like user alone does not say everything."""
_ONE_BITS = 1_065_353_216
_TRANSITION_SPAN = 5


@compiled
def _place_of(item: int, touched: int, scratch: Scratch) -> int:
    """The item's place among the touched, which is `touched` if it is new there."""
    place = scratch.mark[item]
    if place < 0:
        place = touched
        scratch.mark[item] = place
        scratch.touched[place] = item
        for feature in range(_RELATED):
            scratch.related[feature, place] = 0.0
    return int(place)


@compiled
def touch_related(
    snapshots: Snapshots,
    row: int,
    popularity: Popularity,
    relations: Relations,
    touched: int,
    scratch: Scratch,
) -> int:
    """Sum up what followed or accompanied the newest items; returns how many are touched then.

    touched: how many are so far, the ring's.
    """
    now = np.float32(1.0 / relations.scale[0])
    transitions = relations.transitions
    companions = relations.cooccurrence
    for lag in range(min(snapshots.length[row], COMPANIONS)):
        item = snapshots.items[row, lag]
        if lag < _TRANSITION_SPAN:
            norm = np.float32(1) / (transitions.total[item] * now + np.float32(2))
            feature = min(lag, 2)
            for entry in range(transitions.length[item]):
                place = _place_of(transitions.item[item, entry], touched, scratch)
                touched = max(touched, place + 1)
                weight = transitions.weight[item, entry] * now
                scratch.related[feature, place] += weight * norm
                if lag == 0:
                    scratch.related[3, place] = weight
        decay, steep = np.float32(math.exp(-0.25 * lag)), np.float32(math.exp(-lag))
        norm = now / np.float32(math.sqrt(popularity.total[item] + 10.0))
        for entry in range(companions.length[item]):
            other = companions.item[item, entry]
            place = _place_of(other, touched, scratch)
            touched = max(touched, place + 1)
            cosine = (
                companions.weight[item, entry]
                * norm
                / np.float32(math.sqrt(popularity.total[other] + np.float32(10)))
            )
            scratch.related[4, place] += cosine * decay
            scratch.related[5, place] += cosine
            scratch.related[6, place] += cosine * steep
            if lag < 2:
                scratch.related[10 + lag, place] = cosine
    return touched


@compiled
def touch_recent(
    snapshots: Snapshots, row: int, relations: Relations, touched: int, scratch: Scratch
) -> int:
    """What followed the two newest items just now."""
    now = np.float32(1.0 / relations.scale[1])
    transitions = relations.recent_transitions
    for lag in range(min(snapshots.length[row], 2)):
        item = snapshots.items[row, lag]
        norm = now / (transitions.total[item] * now + np.float32(2))
        for entry in range(transitions.length[item]):
            place = _place_of(transitions.item[item, entry], touched, scratch)
            touched = max(touched, place + 1)
            scratch.related[_RECENT + lag, place] = transitions.weight[item, entry] * norm
    return touched


@compiled
def touch_wide(
    snapshots: Snapshots,
    row: int,
    popularity: Popularity,
    relations: Relations,
    touched: int,
    scratch: Scratch,
) -> int:
    """The same over a longer history, all alike."""
    now = np.float32(1.0 / relations.scale[0])
    companions = relations.wide_cooccurrence
    span = min(snapshots.length[row], WIDE_COMPANIONS)
    for lag in range(span):
        item = snapshots.items[row, lag]
        norm = now / np.float32(math.sqrt(popularity.total[item] + 10.0))
        for entry in range(companions.length[item]):
            place = _place_of(companions.item[item, entry], touched, scratch)
            touched = max(touched, place + 1)
            scratch.related[8, place] += companions.weight[item, entry] * norm
    share = np.float32(4.0 / max(span, 1))
    for place in range(touched):
        total = popularity.total[scratch.touched[place]]
        scratch.related[8, place] /= np.float32(math.sqrt(total + np.float32(10)))
        scratch.related[9, place] = share * scratch.related[8, place]
    return touched


@compiled
def touch_alike(
    snapshots: Snapshots, row: int, histories: Histories, touched: int, scratch: Scratch
) -> int:
    """The share that each item has of the most similar users, by similarity."""
    alike, own = scratch.alike, place_of(histories, snapshots.user[row])
    found = find_alike(histories, own, snapshots.items[row], snapshots.length[row], alike)
    least = least_alike(alike, found)
    total = _FEW_ALIKE
    for number in range(found):
        similarity = alike.similarity[alike.found[number]]
        total += similarity if similarity >= least else np.float32(0)
    for number in range(found):
        place = alike.found[number]
        similarity = alike.similarity[place]
        alike.similarity[place] = np.float32(0)
        if similarity < least:
            continue
        share = similarity / total
        for entry in range(min(histories.taken[place], HISTORY)):
            at = _place_of(histories.items[place, entry], touched, scratch)
            touched = max(touched, at + 1)
            scratch.related[_ALIKE, at] += share
    return touched


@compiled
def squash_related(touched: int, owned: int, scratch: Scratch) -> None:
    """From sums to features: logarithms of 1 + gain times the sum."""
    for feature in range(_RELATED):
        gain = np.float32(100)
        scale = LOG_SLOPE * THIRD
        if feature == _ALIKE:
            gain = np.float32(300)
        elif feature < 3 or feature >= _RECENT:
            gain = np.float32(200)
        elif feature == 3:
            gain = np.float32(1)
            scale = LOG_SLOPE
        elif feature == 7:
            continue
        for place in range(touched):
            scratch.real[place] = np.float32(1) + gain * scratch.related[feature, place]
        for place in range(touched):
            scratch.related[feature, place] = scale * np.float32(scratch.bits[place] - _ONE_BITS)
    for place in range(touched):
        scratch.related[7, place] = scratch.related[0, place] if place < owned else np.float32(0)
