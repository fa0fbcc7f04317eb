"""Task events as the learner keeps them: item numbers are rows of its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarec_stream.contract.task import TaskBlock
from metarec_stream.errors import Degraded

BLOCK_FIELDS = (
    "users",
    "weights",
    "candidates",
    "reranked",
    "log_q",
    "features",
    "window",
    "gaps",
    "situation",
    "feature_weights",
    "profile_tokens",
)
"""What comes with a task block."""
FIELDS = (*BLOCK_FIELDS, "unlearned")
CANDIDATE_FIELDS = ("candidates", "reranked", "log_q", "features")
PADDING = {"candidates": -1, "window": -1, "profile_tokens": -1}


@dataclass(frozen=True, slots=True)
class TaskEvents:
    """n events with M candidates, F features, a window of L and a situation of C; -1 pads."""

    users: NDArray[np.uint64]
    """[n] hashes of the user ids."""
    weights: NDArray[np.float32]
    """[n], above 0"""
    unlearned: NDArray[np.float32]
    """[n] 1 as long as nothing has learned from the event, then 0."""
    candidates: NDArray[np.int32]
    """[n, M], the item that came in column 0."""
    reranked: NDArray[np.uint8]
    """[n, M] 1 for those whose score the re-ranker adds to."""
    log_q: NDArray[np.float32]
    """[n, M]"""
    features: NDArray[np.float16]
    """[n, M, F]"""
    window: NDArray[np.int32]
    """[n, L]"""
    gaps: NDArray[np.float32]
    """[n, L] seconds."""
    situation: NDArray[np.float32]
    """[n, C]"""
    feature_weights: NDArray[np.float16]
    """[n, 3, F] the users' own weights of the features and their two traces, as of the events."""
    profile_tokens: NDArray[np.int16]
    """[n, A] tokens of the users' profiles as of the events."""

    def __len__(self) -> int:
        return len(self.weights)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By field name."""
        return {name: getattr(self, name) for name in FIELDS}

    def learned(self) -> TaskEvents:
        """The same once something has learned from them."""
        return replace(self, unlearned=np.zeros_like(self.unlearned))

    def take(self, which: slice | NDArray[Any]) -> TaskEvents:
        """Some of the events."""
        return TaskEvents(**{name: array[which] for name, array in self.arrays().items()})


def padded(array: NDArray[Any], width: int, name: str) -> NDArray[Any]:
    """The array with its second axis filled up to a width."""
    if array.ndim < 2 or array.shape[1] >= width:
        return array
    widths = [(0, 0), (0, width - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, widths, constant_values=PADDING.get(name, 0))


def concatenate(parts: Sequence[TaskEvents]) -> TaskEvents:
    """All events in order; narrower ones are padded to the widest."""
    if len(parts) == 1:
        return parts[0]
    joined = {}
    for name in FIELDS:
        arrays = [getattr(part, name) for part in parts]
        width = max(array.shape[1] if array.ndim > 1 else 0 for array in arrays)
        joined[name] = np.concatenate([padded(array, width, name) for array in arrays])
    return TaskEvents(**joined)


def require_learnable(block: TaskBlock, theta_shape: tuple[int, int]) -> None:
    """Degraded if features and situation are not of theta's shape [F, C], or not finite."""
    shape = (block.features.shape[2], block.situation.shape[1])
    if shape != theta_shape:
        raise Degraded(
            f"task block refused: partition {block.partition} has {shape} features and situation, "
            f"the live version {theta_shape}; run learner and consumers of the same release"
        )
    floats = ("weights", "log_q", "features", "gaps", "situation", "feature_weights")
    if not all(np.isfinite(getattr(block, name)).all() for name in floats):
        raise Degraded(f"task block refused: partition {block.partition} has numbers not finite")


def events_of(block: TaskBlock, rows: NDArray[np.int32]) -> TaskEvents:
    """The events of a block that something can be learned from.

    rows: the table row of each of the block's items. Left out are events of no weight, and those
    whose only candidate is the item that came.
    """
    row_of = np.append(rows, np.int32(-1))
    events = TaskEvents(
        users=block.users,
        weights=block.weights,
        unlearned=np.ones_like(block.weights),
        candidates=row_of[block.candidates],
        reranked=block.reranked,
        log_q=block.log_q,
        features=block.features.astype(np.float16),
        window=row_of[block.window],
        gaps=block.gaps,
        situation=block.situation,
        feature_weights=block.feature_weights.astype(np.float16),
        profile_tokens=block.profile_tokens,
    )
    return events.take((block.weights > 0) & (block.candidates[:, 1:] >= 0).any(1))
