"""What a sampled event is before it is applied, compiled: its place among all, and its task.

Letters: O observed events, M candidates of a task, k list, F features, P half-lives.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.catalogue.items import EXCLUDED
from metarec_stream.catalogue.popularity import Popularity
from metarec_stream.compiled import compiled
from metarec_stream.pipeline.draw import draw_below
from metarec_stream.pipeline.features import FEATURES, POPULARITY_HALF_LIVES
from metarec_stream.pipeline.probability import Listed, note_probabilities
from metarec_stream.pipeline.rerank import Strongest, best_first
from metarec_stream.pipeline.score import FLOOR, features_of
from metarec_stream.pipeline.scratch import Scratch
from metarec_stream.pipeline.seen import Seen

EXPECTED_AMONG = 10
"""Places of the list whose probabilities are added up."""


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
    probability: NDArray[np.float32]
    """[O, k] of each place of the lists, 0 pads."""
    expected: NDArray[np.float32]
    """[O] probability of the first ten together."""
    task_size: NDArray[np.int32]
    """[O] candidates of the task; 0: no task."""
    task_item: NDArray[np.int32]
    """[O, M] -1 pads."""
    task_reranked: NDArray[np.uint8]
    """[O, M] 1 for those that the re-ranker looked at."""
    task_log_q: NDArray[np.float32]
    task_x: NDArray[np.float32]
    """[O, M, F]."""
    feature_weights: NDArray[np.float32]
    """[O, 3, F] the user's own weights of the features, and their two traces, before the event."""


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
        probability=np.zeros((rows, listed), np.float32),
        expected=np.zeros(rows, np.float32),
        task_size=np.zeros(rows, np.int32),
        task_item=np.full((rows, candidates), -1, np.int32),
        task_reranked=np.zeros((rows, candidates), np.uint8),
        task_log_q=np.zeros((rows, candidates), np.float32),
        task_x=np.zeros((rows, candidates, len(FEATURES)), np.float32),
        feature_weights=np.zeros((rows, 3, len(FEATURES)), np.float32),
    )


@compiled
def mask_seen(seen: Seen, number: int, item: int, frontier: int, scratch: Scratch) -> bool:
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
def _compare_slate(
    item: int, frontier: int, slate: NDArray[np.int32], scratch: Scratch
) -> tuple[int, int]:
    """The same among the event's own list, as far as it holds candidates, and the item."""
    own = scratch.scores[item]
    greater = 0
    equal = 1
    for other in slate:
        if other < 0 or other == item or other >= frontier or scratch.scores[other] <= FLOOR:
            continue
        greater += scratch.scores[other] > own
        equal += scratch.scores[other] == own
    return greater, equal


@compiled
def _log_strongest(
    observed: Observed,
    row: int,
    item: int,
    found: int,
    strongest: Strongest,
    taken: NDArray[np.bool_],
    scores: NDArray[np.float32],
) -> int:
    """The item that came, and the strongest candidates; how many there are now."""
    task = observed.task_item[row]
    task[0] = item
    taken[item] = True
    size = 1
    for place in range(found):
        other = strongest.item[place]
        column = 0
        if other != item:
            column = size
            size += 1
        task[column] = other
        taken[other] = True
        scores[column] = strongest.score[place]
        observed.task_reranked[row, column] = 1
        observed.task_x[row, column] = strongest.x[place]
    return size


@compiled
def log_task(
    observed: Observed,
    row: int,
    item: int,
    now_s: float,
    owned: int,
    frontier: int,
    found: int,
    strongest: Strongest,
    popularity: Popularity,
    state: NDArray[np.uint64],
    taken: NDArray[np.bool_],
    scratch: Scratch,
    scores: NDArray[np.float32],
) -> int:
    """Candidates of the task: what came, the strongest, and a draw from the rest (logQ).

    Fills scores [M] with theirs before the re-ranker, corrected; returns how many they are.
    """
    task = observed.task_item[row]
    scores[0] = scratch.scores[item]
    size = _log_strongest(observed, row, item, found, strongest, taken, scores)
    if observed.task_reranked[row, 0] == 0:
        features_of(item, now_s, owned, popularity, scratch, observed.task_x[row, 0])
    rest = observed.candidates[row] - size
    draws = min(task.shape[0] - 1 - strongest.item.shape[0], rest)
    correction = np.float32(math.log(rest / draws)) if draws > 0 else np.float32(0)
    until = size + draws
    while size < until:
        other = draw_below(state, frontier)
        if taken[other] or scratch.scores[other] <= FLOOR:
            continue
        taken[other] = True
        task[size] = other
        scores[size] = scratch.scores[other] + correction
        observed.task_log_q[row, size] = correction
        features_of(other, now_s, owned, popularity, scratch, observed.task_x[row, size])
        size += 1
    for place in range(size):
        taken[task[place]] = False
    observed.task_size[row] = size
    return size


@compiled
def observe(
    observed: Observed,
    row: int,
    item: int,
    frontier: int,
    masked: bool,
    slate: NDArray[np.int32],
    negatives: int,
    state: NDArray[np.uint64],
    popularity: Popularity,
    scratch: Scratch,
) -> None:
    """Note how the item that came stands among all candidates, and in each popularity.

    negatives: if above 0, it is compared with so many candidates drawn at random instead.
    """
    candidates = 0
    for other in range(frontier):
        candidates += scratch.scores[other] > FLOOR
    observed.candidates[row] = candidates
    observed.masked[row] = masked
    candidate = item < frontier and scratch.scores[item] > FLOOR
    observed.candidate[row] = candidate
    if not candidate:
        return
    if slate.shape[0] > 0:
        greater, equal = _compare_slate(item, frontier, slate, scratch)
    elif negatives > 0:
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
def note_list(
    observed: Observed,
    row: int,
    frontier: int,
    found: int,
    strongest: Strongest,
    temperature: np.float32,
    listed: Listed,
    scratch: Scratch,
) -> None:
    """Note the list that would have been shown, as long as asked for, and what it promised."""
    length = best_first(
        strongest, found, frontier, listed.item.shape[0], scratch, listed.item, listed.score
    )
    note_probabilities(scratch, frontier, temperature, listed.score, length, listed.probability)
    kept = min(length, observed.lists.shape[1])
    observed.lists[row, :kept] = listed.item[:kept]
    observed.probability[row, :kept] = listed.probability[:kept]
    for place in range(min(length, EXPECTED_AMONG)):
        observed.expected[row] += listed.probability[place]
