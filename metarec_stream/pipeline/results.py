"""What a batch gives: outputs to be sent, and how the events were ranked before they came."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metarec_stream.contract.transport import Output


@dataclass(frozen=True, slots=True)
class Observations:
    """Events that were ranked before they were applied, in order.

    Letters: o events, P half-lives, k list.
    """

    partition: NDArray[np.int64]
    offset: NDArray[np.int64]
    user: NDArray[np.int64]
    """[o] local user number."""
    item: NDArray[np.int32]
    """[o] local item number."""
    candidate: NDArray[np.bool_]
    """[o] whether the item was a candidate."""
    masked: NDArray[np.bool_]
    """[o] whether the protocol leaves the event unscored."""
    repeat: NDArray[np.bool_]
    """[o] whether the item was in the user's ring."""
    earlier: NDArray[np.int64]
    """[o] the user's earlier wanted interactions."""
    greater: NDArray[np.int32]
    """[o] candidates that score above the item."""
    equal: NDArray[np.int32]
    """[o] candidates that score the same, the item included."""
    candidates: NDArray[np.int32]
    popularity_greater: NDArray[np.int32]
    """[o, P] the same for decayed counts."""
    popularity_equal: NDArray[np.int32]
    lists: NDArray[np.int32]
    """[o, k] local item numbers, -1 pads; k is 0 unless lists are asked for."""
    probability: NDArray[np.float32]
    """[o, k] that the next interaction is on each item of the list, 0 pads."""
    expected: NDArray[np.float32]
    """[o] probability of the first ten together."""

    def __len__(self) -> int:
        return len(self.offset)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch's records led to."""

    offsets: dict[int, int]
    """Next offset to read, by input partition."""
    observations: Observations
    outputs: list[Output] = field(default_factory=list)
    """Dead letters, recommendations, tasks, in sending order."""
    answered: list[int] = field(default_factory=list)
    """Record timestamps of the events that recommendations answer."""
    recommendations: int = 0
    tasks: int = 0
    """Task events."""
