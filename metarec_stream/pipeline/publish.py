"""Step 2d of a batch: from arrays to the records that will be sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.catalogue.content import narrowed
from metarec_stream.compiled import compiled
from metarec_stream.config import Settings
from metarec_stream.contract.codec import encode
from metarec_stream.contract.recommendation import (
    Recommendation,
    RecommendedItem,
    SourcePosition,
    recommendation_id,
)
from metarec_stream.contract.task import TaskBlock
from metarec_stream.contract.task_codec import encode_task_block
from metarec_stream.contract.transport import Output
from metarec_stream.hashing import hash64
from metarec_stream.pipeline.accept import Accepted
from metarec_stream.pipeline.adapt import Adapted
from metarec_stream.pipeline.answer import WHY, Lists
from metarec_stream.pipeline.observe import Observed
from metarec_stream.pipeline.snapshots import Snapshots

ARM = "default"
"""The one arm there is while nothing is explored."""
_BLOCK_BYTES = 900_000
_RECORD_BYTES = 1_024
"""More than Kafka adds to a record."""


class Known(NamedTuple):
    """What is known beside interactions, as tokens; -1 pads."""

    content: Callable[[NDArray[np.int64]], NDArray[np.int16]]
    """The tokens [items, K] of items."""
    profiles: NDArray[np.int16]
    """[n, K] those of the events' users."""


def recommendations(
    lists: Lists,
    accepted: Accepted,
    item_ids: list[str],
    settings: Settings,
    meta_version: int,
    adapter: str,
    now_ms: int,
) -> list[Output]:
    """One record for each list."""
    topic = settings.topics.interactions
    lengths, items = lists.length.tolist(), lists.item.tolist()
    scores, reasons = lists.score.tolist(), lists.why.tolist()
    probabilities = lists.probability.tolist()
    outputs = []
    for row, number in enumerate(lists.event.tolist()):
        partition, offset = accepted.partitions[number], accepted.offsets[number]
        user = accepted.users[number]
        message = Recommendation(
            rec_id=recommendation_id(topic, partition, offset),
            user=user,
            items=[
                RecommendedItem(
                    item=item_ids[items[row][place]],
                    score=scores[row][place],
                    probability=probabilities[row][place],
                    why=[WHY[code] for code in reasons[row][place] if code >= 0],
                )
                for place in range(lengths[row])
            ],
            ts=now_ms,
            event_ts=accepted.times[number],
            meta_version=meta_version,
            adapter=adapter,
            arm=ARM,
            source=SourcePosition(topic=topic, partition=partition, offset=offset),
        )
        value, headers = encode(message, settings.output.format)
        outputs.append(
            Output(settings.topics.recommendations, partition, user.encode(), value, headers)
        )
    return outputs


def task_blocks(
    observed: Observed,
    adapted: Adapted,
    accepted: Accepted,
    weights: NDArray[np.float32],
    item_ids: list[str],
    settings: Settings,
    meta_version: int,
    known: Known,
) -> tuple[list[Output], int]:
    """The tasks of a batch, a few records for each partition, and how many events they hold."""
    rows = np.flatnonzero(observed.task_size > 0)
    partitions = np.array(accepted.partitions, np.int64)[observed.event[rows]]
    limit = min(_BLOCK_BYTES, settings.kafka.max_message_bytes - _RECORD_BYTES)
    per_block = max(1, limit // max(1, _bytes_of_event(observed, adapted.snapshots, known)))
    outputs = []
    for partition in np.unique(partitions).tolist():
        mine = rows[partitions == partition]
        for start in range(0, len(mine), per_block):
            waiting = [mine[start : start + per_block]]
            while waiting:
                part = waiting.pop()
                block = _block(
                    observed, part, adapted, accepted, weights, item_ids, partition, meta_version,
                    known,
                )  # fmt: skip
                value = encode_task_block(block)
                if len(value) > limit and len(part) > 1:  # long ids: more than was reckoned with
                    waiting += [part[len(part) // 2 :], part[: len(part) // 2]]
                    continue
                outputs.append(Output(settings.topics.tasks, partition, None, value))
    return outputs, len(rows)


def _bytes_of_event(observed: Observed, snapshots: Snapshots, known: Known) -> int:
    """About what an event takes in an encoded block, with ids of at most 24 bytes.

    Tokens count in full where anything has some: every item of the event is held to be another.
    """
    features = observed.task_x.shape[2]
    per_candidate = 2 * features + 9 + 24
    fixed = 8 * snapshots.window.shape[1] + 4 * snapshots.situation.shape[1] + 6 * features + 28
    candidates, window = observed.task_item.shape[1], snapshots.window.shape[1]
    item_tokens = known.content(np.zeros(0, np.int64)).shape[1]
    tokens = 2 * (item_tokens * (candidates + window) + known.profiles.shape[1])
    return int(candidates * per_candidate + fixed + tokens)


def _block(
    observed: Observed,
    rows: NDArray[np.int64],
    adapted: Adapted,
    accepted: Accepted,
    weights: NDArray[np.float32],
    item_ids: list[str],
    partition: int,
    meta_version: int,
    known: Known,
) -> TaskBlock:
    events = observed.event[rows]
    snapshots = adapted.snapshots
    taken = adapted.steps.before[events]
    widest = int(observed.task_size[rows].max())
    candidates = observed.task_item[rows, :widest]
    window = snapshots.window[taken]
    used, numbers = _renumbered(candidates, window)
    return TaskBlock(
        partition=partition,
        meta_version=meta_version,
        items=[item_ids[item] for item in used],
        item_tokens=narrowed(known.content(np.array(used, np.int64))),
        offsets=np.array([accepted.offsets[event] for event in events.tolist()], np.int64),
        event_times=snapshots.time[taken],
        users=np.array([hash64(accepted.users[event]) for event in events.tolist()], np.uint64),
        weights=weights[events],
        candidates=numbers[0],
        reranked=observed.task_reranked[rows, :widest],
        log_q=observed.task_log_q[rows, :widest],
        features=observed.task_x[rows, :widest],
        window=numbers[1],
        gaps=snapshots.gaps[taken],
        situation=snapshots.situation[taken],
        feature_weights=observed.feature_weights[rows],
        profile_tokens=narrowed(known.profiles[events]),
    )


@compiled
def _renumber(
    table: NDArray[np.int32],
    places: NDArray[np.int32],
    used: NDArray[np.int32],
    count: int,
) -> int:
    """Replace item numbers by their places in `used`, which grows; -1 stays. How many it holds."""
    for row in range(table.shape[0]):
        for column in range(table.shape[1]):
            item = table[row, column]
            if item < 0:
                continue
            if places[item] < 0:
                places[item] = count
                used[count] = item
                count += 1
            table[row, column] = places[item]
    return count


def _renumbered(*tables: NDArray[np.int32]) -> tuple[list[int], Sequence[NDArray[np.int32]]]:
    """The item numbers used in the tables, and the tables with places among these; -1 stays."""
    highest = max(int(table.max(initial=-1)) for table in tables)
    places = np.full(highest + 1, -1, np.int32)
    used = np.empty(highest + 1, np.int32)
    renumbered = [table.copy() for table in tables]
    count = 0
    for table in renumbered:
        count = _renumber(table, places, used, count)
    return used[:count].tolist(), renumbered
