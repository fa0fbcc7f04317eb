"""Step 2c of a batch, compiled: through the events in order, ranking before and after each.

Before a sampled event: the place of what came among all candidates (prequential), the task for
the learner, and the step of the user's own feature weights. Then the event moves the soft state.
After an answered one: the list.

Letters: n events, O observed (sampled) events, A lists, R snapshots, M candidates of a task, k
list, F features, C situation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.adapters.protocol import Reranker, Steps
from metarec_stream.catalogue.histories import extend_history
from metarec_stream.catalogue.items import make_known
from metarec_stream.catalogue.neighbours import relate
from metarec_stream.catalogue.popularity import count
from metarec_stream.catalogue.soft_state import Soft
from metarec_stream.compiled import compiled
from metarec_stream.pipeline.adapt import Events, Trail
from metarec_stream.pipeline.answer import Lists, answer
from metarec_stream.pipeline.feature_weights import (
    FeatureWeights,
    Moments,
    empty_moments,
    learn_features,
)
from metarec_stream.pipeline.features import FEATURES
from metarec_stream.pipeline.observe import (
    EXPECTED_AMONG,
    Observed,
    log_task,
    mask_seen,
    note_list,
    observe,
)
from metarec_stream.pipeline.probability import Listed, empty_listed
from metarec_stream.pipeline.rerank import Strongest, empty_strongest, rerank
from metarec_stream.pipeline.score import (
    clear_touched,
    score_items,
)
from metarec_stream.pipeline.scratch import Scratch, empty_scratch
from metarec_stream.pipeline.seen import Seen
from metarec_stream.pipeline.snapshots import Snapshots

REJECTION = np.float32(6)
"""What an item loses of its score by a newest event of weight -1: 400 times less likely. Enough to
take an item from the top of the list, and too little to hide one that nothing comes close to."""


class Weights(NamedTuple):
    """What the adapter and the live version give the ranking, and the users' own weights."""

    queries: NDArray[np.float32]
    """[R, d] by snapshot."""
    embedding: NDArray[np.float32]
    """[d, N]."""
    bias: NDArray[np.float32]
    theta: NDArray[np.float32]
    """[F, C]."""
    feature_step: NDArray[np.float32]
    feature_keep: NDArray[np.float32]
    reranker: Reranker
    temperature: NDArray[np.float32]
    """[1]."""
    own: FeatureWeights


class Ranked(NamedTuple):
    """What ranking a batch's events gave."""

    observed: Observed
    lists: Lists


class Room(NamedTuple):
    """Room to work in; one for a thread."""

    scratch: Scratch
    strongest: Strongest
    moments: Moments
    taken: NDArray[np.bool_]
    """[N] candidates that a task has; none between two calls."""
    listed: Listed


def empty_room(
    items: int, ring: int, strongest: int, candidates: int, listed: int, units: int
) -> Room:
    """Room for this catalogue, ring, re-ranked candidates, candidates of a task, list, units."""
    return Room(
        scratch=empty_scratch(items, ring),
        strongest=empty_strongest(strongest, units),
        moments=empty_moments(candidates, len(FEATURES)),
        taken=np.zeros(items, np.bool_),
        listed=empty_listed(max(listed, EXPECTED_AMONG)),
    )


@compiled
def _score(snapshots: Snapshots, row: int, weights: Weights, soft: Soft, room: Room) -> int:
    """Scores of all items for a user as of a moment, before the re-ranker; items touched."""
    touched = score_items(
        snapshots, row, weights.queries[row], weights.embedding, weights.bias, weights.theta,
        weights.own.delta[snapshots.user[row]], soft.popularity, soft.relations,
        soft.histories, soft.availability.penalty, soft.availability.frontier[0], room.scratch,
    )  # fmt: skip
    for place in range(snapshots.rejections[row]):
        rejected = snapshots.rejected[row, place]
        room.scratch.scores[rejected] += REJECTION * snapshots.rejection[row, place]
    return int(touched)


@compiled
def _log_rejected(
    snapshots: Snapshots, snapshot: int, observed: Observed, row: int, size: int
) -> None:
    """What rejected candidates lost is corrected for in the task, as it was served."""
    for place in range(snapshots.rejections[snapshot]):
        for column in range(size):
            if observed.task_item[row, column] == snapshots.rejected[snapshot, place]:
                lost = REJECTION * snapshots.rejection[snapshot, place]
                observed.task_log_q[row, column] += lost


@compiled
def _rerank(snapshots: Snapshots, row: int, weights: Weights, soft: Soft, room: Room) -> int:
    return int(
        rerank(
            weights.reranker, snapshots.situation[row], snapshots.time[row] / 1000.0,
            snapshots.length[row], soft.availability.frontier[0], soft.popularity, room.scratch,
            room.strongest,
        )
    )  # fmt: skip


@compiled
def _learn(
    observed: Observed,
    row: int,
    snapshots: Snapshots,
    snapshot: int,
    item: int,
    found: int,
    state: NDArray[np.uint64],
    weights: Weights,
    soft: Soft,
    room: Room,
) -> None:
    """Log the event's task, and move the user's own weights by it."""
    user = snapshots.user[snapshot]
    own = weights.own
    observed.feature_weights[row, 0] = own.delta[user]
    observed.feature_weights[row, 1] = own.by_step[user]
    observed.feature_weights[row, 2] = own.by_keep[user]
    size = log_task(
        observed, row, item, snapshots.time[snapshot] / 1000.0, snapshots.length[snapshot],
        soft.availability.frontier[0], found, room.strongest, soft.popularity, state, room.taken,
        room.scratch, room.moments.chance,
    )  # fmt: skip
    _log_rejected(snapshots, snapshot, observed, row, size)
    learn_features(
        own, user, weights.feature_step, weights.feature_keep, observed.task_x[row], size,
        room.moments,
    )  # fmt: skip


@compiled
def _before(
    events: Events,
    number: int,
    row: int,
    steps: Steps,
    snapshots: Snapshots,
    weights: Weights,
    soft: Soft,
    seen: Seen,
    slate: NDArray[np.int32],
    negatives: int,
    state: NDArray[np.uint64],
    room: Room,
    observed: Observed,
) -> None:
    """Rank as if the event had not come; what came is the outcome."""
    item, snapshot = events.item[number], steps.before[number]
    frontier = soft.availability.frontier[0]
    scratch = room.scratch
    touched = _score(snapshots, snapshot, weights, soft, room)
    state[0] = events.seed[number]
    observed.event[row] = number
    observed.repeat[row] = 0 <= scratch.mark[item] < snapshots.length[snapshot]
    masked = seen.head.shape[0] > 0 and mask_seen(seen, number, item, frontier, scratch)
    found = _rerank(snapshots, snapshot, weights, soft, room)
    observe(
        observed, row, item, frontier, masked, slate, negatives, state, soft.popularity, scratch
    )
    note_list(
        observed, row, frontier, found, room.strongest, weights.temperature[0], room.listed, scratch
    )
    tasks = observed.task_item.shape[1] > 1
    learned = tasks and events.applied[number]
    if learned and observed.candidate[row] and observed.candidates[row] > 1:
        _learn(
            observed, row, snapshots, snapshot, item, found, state, weights, soft, room
        )  # fmt: skip
    clear_touched(touched, scratch)


@compiled
def _after(
    number: int,
    row: int,
    snapshot: int,
    snapshots: Snapshots,
    weights: Weights,
    soft: Soft,
    room: Room,
    lists: Lists,
) -> None:
    """Rank now that the event has moved everything."""
    touched = _score(snapshots, snapshot, weights, soft, room)
    found = _rerank(snapshots, snapshot, weights, soft, room)
    lists.event[row] = number
    answer(
        lists, row, soft.availability.frontier[0], found, room.strongest,
        snapshots.length[snapshot], weights.queries[snapshot], weights.embedding, weights.bias,
        weights.temperature[0], room.scratch,
    )  # fmt: skip
    clear_touched(touched, room.scratch)


@compiled
def _apply(soft: Soft, events: Events, trail: Trail, number: int, wanted: bool) -> None:
    """The event moves the soft state."""
    item = events.item[number]
    make_known(soft.availability, item)
    if not wanted:
        return
    count(
        soft.popularity, item, events.user[number], events.time[number] / 1000.0,
        events.buckets[number],
    )  # fmt: skip
    if trail.in_order[number]:
        recent, recent_count = trail.recent[number], trail.recent_length[number]
        relate(soft.relations, recent, recent_count, item)
        extend_history(soft.histories, events.user[number], recent, recent_count, item)


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
    slates: NDArray[np.int32],
    negatives: int,
    room: Room,
    observed: Observed,
    lists: Lists,
) -> None:
    """Go through the events in order; fill `observed` and `lists` from their first rows on."""
    state = np.zeros(1, np.uint64)
    # Plain zeros would be types of their own to numba, and all that is below compiled twice.
    observations, answers = int(np.int64(0)), int(np.int64(0))
    everything = np.zeros(0, np.int32)
    for number in range(events.user.shape[0]):
        if steps.before[number] >= 0:
            slate = slates[number] if slates.shape[0] > 0 else everything
            _before(
                events, number, observations, steps, snapshots, weights, soft, seen, slate,
                negatives, state, room, observed,
            )  # fmt: skip
            observations += 1
        if not events.applied[number]:
            continue
        _apply(soft, events, trail, number, weight_of_kind[events.kind[number]] > 0)
        if steps.after[number] >= 0:
            _after(number, answers, steps.after[number], snapshots, weights, soft, room, lists)
            answers += 1
