"""Step 2c of a batch, compiled: through the events in order, ranking before and after each.

Before a sampled event: the place of what came among all candidates (prequential), and the task
for the learner. Then the event moves the soft state. After an answered one: the list.

Letters: n events, O observed (sampled) events, A lists, M candidates of a task, k list, F features,
P half-lives.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.adapters.protocol import Steps
from metarec_stream.catalogue.items import EXCLUDED, make_known
from metarec_stream.catalogue.neighbours import relate
from metarec_stream.catalogue.popularity import Popularity, count
from metarec_stream.catalogue.soft_state import Soft
from metarec_stream.catalogue.top_k import top_k
from metarec_stream.compiled import compiled
from metarec_stream.pipeline.adapt import Events, Snapshots, Trail
from metarec_stream.pipeline.draw import draw_below
from metarec_stream.pipeline.features import DENSE, FEATURES, POPULARITY_HALF_LIVES, RING
from metarec_stream.pipeline.score import (
    FLOOR,
    Scratch,
    clear_touched,
    features_of,
    score_items,
)
from metarec_stream.pipeline.seen import Seen

WHY = ("repeat", "transition", "cooccurrence", "taste", "popular")
"""Reason codes: the group of terms that lifted the item; `popular` where none did."""
_REPEAT, _TRANSITION, _COOCCURRENCE, _TASTE, _POPULAR = range(len(WHY))
_LEAST_REASON = 0.25
_RING_START, _RELATED_START = len(DENSE), len(DENSE) + len(RING)


class Weights(NamedTuple):
    """What the adapter gives the ranking."""

    queries: NDArray[np.float32]
    """[R, d] by snapshot."""
    embedding: NDArray[np.float32]
    """[d, N]."""
    bias: NDArray[np.float32]
    theta: NDArray[np.float32]


class Observed(NamedTuple):
    """Events as they were ranked before they were applied."""

    event: NDArray[np.int64]
    """[O] number of the event in the batch."""
    candidate: NDArray[np.bool_]
    masked: NDArray[np.bool_]
    repeat: NDArray[np.bool_]
    greater: NDArray[np.int32]
    equal: NDArray[np.int32]
    candidates: NDArray[np.int32]
    popularity_greater: NDArray[np.int32]
    """[O, P]."""
    popularity_equal: NDArray[np.int32]
    lists: NDArray[np.int32]
    """[O, k] -1 pads; k is 0 where no lists are asked for."""
    task_size: NDArray[np.int32]
    """[O] candidates of the task; 0: no task."""
    task_item: NDArray[np.int32]
    """[O, M] -1 pads."""
    task_log_q: NDArray[np.float32]
    task_x: NDArray[np.float32]
    """[O, M, F]."""


class Lists(NamedTuple):
    """The answers."""

    event: NDArray[np.int64]
    """[A] number of the event in the batch."""
    length: NDArray[np.int32]
    item: NDArray[np.int32]
    """[A, k]."""
    score: NDArray[np.float32]
    why: NDArray[np.int8]
    """[A, k, 5] places in WHY, strongest first; -1 pads."""


class Ranked(NamedTuple):
    """What ranking a batch's events gave."""

    observed: Observed
    lists: Lists


def empty_observed(rows: int, listed: int, candidates: int) -> Observed:
    """Room for this many observed events."""
    half_lives = len(POPULARITY_HALF_LIVES)
    return Observed(
        event=np.zeros(rows, np.int64),
        candidate=np.zeros(rows, np.bool_),
        masked=np.zeros(rows, np.bool_),
        repeat=np.zeros(rows, np.bool_),
        greater=np.zeros(rows, np.int32),
        equal=np.zeros(rows, np.int32),
        candidates=np.zeros(rows, np.int32),
        popularity_greater=np.zeros((rows, half_lives), np.int32),
        popularity_equal=np.zeros((rows, half_lives), np.int32),
        lists=np.full((rows, listed), -1, np.int32),
        task_size=np.zeros(rows, np.int32),
        task_item=np.full((rows, candidates), -1, np.int32),
        task_log_q=np.zeros((rows, candidates), np.float32),
        task_x=np.zeros((rows, candidates, len(FEATURES)), np.float32),
    )


def empty_lists(rows: int, k: int) -> Lists:
    """Room for this many lists."""
    return Lists(
        event=np.zeros(rows, np.int64),
        length=np.zeros(rows, np.int32),
        item=np.full((rows, k), -1, np.int32),
        score=np.zeros((rows, k), np.float32),
        why=np.full((rows, k, len(WHY)), -1, np.int8),
    )


@compiled
def _mask(seen: Seen, number: int, item: int, frontier: int, scratch: Scratch) -> bool:
    """Take what the user already had out of the candidates; True if `item` is among it."""
    masked = False
    entry = seen.head[number]
    while entry >= 0:
        had = seen.item[entry]
        if had == item:
            masked = True
        if had < frontier:
            scratch.scores[had] = EXCLUDED
        entry = seen.next[entry]
    return masked


@compiled
def _compare(
    values: NDArray[np.float32], scores: NDArray[np.float32], item: int, frontier: int
) -> tuple[int, int]:
    """How many candidates have a greater value than the item, and how many the same (or itself)."""
    own = values[item]
    greater = 0
    equal = 0
    for other in range(frontier):
        if scores[other] > FLOOR:
            greater += values[other] > own
            equal += values[other] == own
    return greater, equal


@compiled
def _compare_sample(
    item: int,
    frontier: int,
    candidates: int,
    negatives: int,
    state: NDArray[np.uint64],
    scratch: Scratch,
) -> tuple[int, int]:
    """The same among so many candidates drawn at random, each at most once, and the item."""
    own = scratch.scores[item]
    greater = 0
    equal = 1
    drawn = 0
    wanted = min(negatives, candidates - 1)
    taken = np.zeros(frontier, np.bool_)
    taken[item] = True
    while drawn < wanted:
        other = draw_below(state, frontier)
        if taken[other] or scratch.scores[other] <= FLOOR:
            continue
        taken[other] = True
        drawn += 1
        greater += scratch.scores[other] > own
        equal += scratch.scores[other] == own
    return greater, equal


@compiled
def _log_task(
    observed: Observed,
    row: int,
    item: int,
    now_s: float,
    owned: int,
    frontier: int,
    candidates: int,
    strongest: int,
    state: NDArray[np.uint64],
    popularity: Popularity,
    best: NDArray[np.int32],
    best_scores: NDArray[np.float32],
    taken: NDArray[np.bool_],
    scratch: Scratch,
) -> None:
    """Candidates of the task: what came, the strongest, and a draw from the rest (logQ)."""
    task = observed.task_item[row]
    found = top_k(scratch.scores, frontier, FLOOR, strongest, best, best_scores)
    task[0] = item
    taken[item] = True
    size = 1
    for place in range(found):
        if best[place] != item:
            task[size] = best[place]
            taken[best[place]] = True
            size += 1
    rest = candidates - size
    draws = min(task.shape[0] - 1 - strongest, rest)
    correction = np.float32(math.log(rest / draws)) if draws > 0 else np.float32(0)
    drawn = 0
    while drawn < draws:
        other = draw_below(state, frontier)
        if taken[other] or scratch.scores[other] <= FLOOR:
            continue
        taken[other] = True
        task[size] = other
        observed.task_log_q[row, size] = correction
        size += 1
        drawn += 1
    for place in range(size):
        taken[task[place]] = False
        features_of(task[place], now_s, owned, popularity, scratch, observed.task_x[row, place])
    observed.task_size[row] = size


@compiled
def _observe(
    observed: Observed,
    row: int,
    item: int,
    frontier: int,
    masked: bool,
    negatives: int,
    state: NDArray[np.uint64],
    popularity: Popularity,
    scratch: Scratch,
) -> None:
    candidates = 0
    for other in range(frontier):
        candidates += scratch.scores[other] > FLOOR
    observed.candidates[row] = candidates
    observed.masked[row] = masked
    candidate = item < frontier and scratch.scores[item] > FLOOR
    observed.candidate[row] = candidate
    if not candidate:
        return
    if negatives > 0:
        greater, equal = _compare_sample(item, frontier, candidates, negatives, state, scratch)
    else:
        greater, equal = _compare(scratch.scores, scratch.scores, item, frontier)
    observed.greater[row] = greater
    observed.equal[row] = equal
    for half_life in range(popularity.scale.shape[0]):
        greater, equal = _compare(popularity.counts[half_life], scratch.scores, item, frontier)
        observed.popularity_greater[row, half_life] = greater
        observed.popularity_equal[row, half_life] = equal


@compiled
def _explain(
    item: int,
    taste: np.float32,
    owned: int,
    scratch: Scratch,
    lifts: NDArray[np.float32],
    why: NDArray[np.int8],
) -> None:
    """The groups of terms that lifted the item's score, strongest first."""
    lifts[:] = np.float32(0)
    lifts[_TASTE] = taste
    place = scratch.mark[item]
    if place >= 0:
        for feature in range(scratch.related.shape[0]):
            group = _COOCCURRENCE if 4 <= feature <= 6 else _TRANSITION
            term = scratch.weights[_RELATED_START + feature] * scratch.related[feature, place]
            lifts[group] += term
        if place < owned:
            for feature in range(scratch.ring.shape[1]):
                lifts[_REPEAT] += (
                    scratch.weights[_RING_START + feature] * scratch.ring[place, feature]
                )
    found = 0
    while found < lifts.shape[0]:
        strongest = np.argmax(lifts)
        if lifts[strongest] < _LEAST_REASON:
            break
        why[found] = strongest
        lifts[strongest] = np.float32(0)
        found += 1
    if found == 0:
        why[0] = _POPULAR


@compiled
def _answer(
    lists: Lists,
    row: int,
    frontier: int,
    owned: int,
    query: NDArray[np.float32],
    weights: Weights,
    scratch: Scratch,
) -> None:
    length = top_k(
        scratch.scores, frontier, FLOOR, lists.item.shape[1], lists.item[row], lists.score[row]
    )
    lists.length[row] = length
    lifts = np.zeros(lists.why.shape[2], np.float32)
    for place in range(length):
        item = lists.item[row, place]
        taste = weights.bias[item]
        for axis in range(query.shape[0]):
            taste += query[axis] * weights.embedding[axis, item]
        _explain(item, taste, owned, scratch, lifts, lists.why[row, place])


@compiled
def _apply(soft: Soft, events: Events, trail: Trail, number: int, wanted: bool) -> None:
    """The event moves the soft state."""
    item = events.item[number]
    make_known(soft.availability, item)
    if not wanted:
        return
    count(soft.popularity, item, events.user[number], events.time[number] / 1000.0)
    if trail.in_order[number]:
        relate(soft.relations, trail.recent[number], trail.recent_length[number], item)


@compiled
def rank_events(
    events: Events,
    weight_of_kind: NDArray[np.float32],
    steps: Steps,
    trail: Trail,
    snapshots: Snapshots,
    weights: Weights,
    soft: Soft,
    seen: Seen,
    strongest: int,
    negatives: int,
    scratch: Scratch,
    observed: Observed,
    lists: Lists,
) -> None:
    """Go through the events in order; fill `observed` and `lists` from their first rows on."""
    state = np.zeros(1, np.uint64)
    best = np.zeros(max(strongest, 1), np.int32)
    best_scores = np.zeros(max(strongest, 1), np.float32)
    taken = np.zeros(scratch.scores.shape[0], np.bool_)
    listed = observed.lists.shape[1]
    list_scores = np.zeros(max(listed, 1), np.float32)
    observations = 0
    answers = 0
    for number in range(events.user.shape[0]):
        item = events.item[number]
        wanted = weight_of_kind[events.kind[number]] > 0
        before = steps.before[number]
        if before >= 0:
            frontier = soft.availability.frontier[0]
            touched = score_items(
                snapshots, before, weights.queries[before], weights.embedding, weights.bias,
                weights.theta, soft.popularity, soft.relations, soft.availability.penalty,
                frontier, scratch,
            )  # fmt: skip
            owned = snapshots.length[before]
            row = observations
            observations += 1
            state[0] = events.seed[number]
            observed.event[row] = number
            observed.repeat[row] = 0 <= scratch.mark[item] < owned
            masked = seen.head.shape[0] > 0 and _mask(seen, number, item, frontier, scratch)
            _observe(
                observed, row, item, frontier, masked, negatives, state, soft.popularity, scratch
            )
            if listed > 0:
                top_k(scratch.scores, frontier, FLOOR, listed, observed.lists[row], list_scores)
            if strongest > 0 and observed.candidate[row] and observed.candidates[row] > 1:
                _log_task(
                    observed, row, item, snapshots.time[before] / 1000.0, owned, frontier,
                    observed.candidates[row], strongest, state, soft.popularity, best, best_scores,
                    taken, scratch,
                )  # fmt: skip
            clear_touched(touched, scratch)
        _apply(soft, events, trail, number, wanted)
        after = steps.after[number]
        if after >= 0:
            frontier = soft.availability.frontier[0]
            touched = score_items(
                snapshots, after, weights.queries[after], weights.embedding, weights.bias,
                weights.theta, soft.popularity, soft.relations, soft.availability.penalty,
                frontier, scratch,
            )  # fmt: skip
            lists.event[answers] = number
            _answer(
                lists, answers, frontier, snapshots.length[after], weights.queries[after], weights,
                scratch,
            )  # fmt: skip
            answers += 1
            clear_touched(touched, scratch)
