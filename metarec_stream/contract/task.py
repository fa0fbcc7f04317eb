"""The task block: what was true as of a few events, and what came, on `metarec.tasks`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TaskBlock:
    """Events of one input partition, in order, as they were ranked before they were learned.

    Letters: n events, M candidates (column 0 is the item that came), F features, L window,
    C situation. Item numbers index `items`; -1 pads.
    """

    partition: int
    meta_version: int
    """Version that ranked the candidates."""
    items: list[str]
    offsets: NDArray[np.int64]
    """[n] offsets of the events in the input partition."""
    event_times: NDArray[np.int64]
    """[n] milliseconds since the epoch."""
    users: NDArray[np.uint64]
    """[n] `hash64` of the user id."""
    weights: NDArray[np.float32]
    """[n] weight of the event in the loss."""
    candidates: NDArray[np.int32]
    """[n, M] item numbers."""
    log_q: NDArray[np.float32]
    """[n, M] correction added to the candidate's score: minus the log of its inclusion chance."""
    features: NDArray[np.float32]
    """[n, M, F] features as of the event (16-bit on the wire)."""
    window: NDArray[np.int32]
    """[n, L] the user's distinct consecutive items, newest first, as of the event."""
    gaps: NDArray[np.float32]
    """[n, L] seconds from each of them to the event."""
    situation: NDArray[np.float32]
    """[n, C] the user's situation as of the event."""
