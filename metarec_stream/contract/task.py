"""The task block: what was true as of a few events, and what came, on `metarec.tasks`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_TOKENS = 16
"""Tokens that an item or a user has at most."""


@dataclass(frozen=True, slots=True)
class TaskBlock:
    """Events of one input partition, in order, as they were ranked before they were learned.

    Letters: n events, M candidates (column 0 is the item that came), F features, L window,
    C situation, K and A tokens. Item numbers index `items`; -1 pads.
    """

    partition: int
    meta_version: int
    """Version that ranked the candidates."""
    items: list[str]
    item_tokens: NDArray[np.int16]
    """[items, K] tokens of the items' content as they were known, -1 pads; K is 0 without any."""
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
    reranked: NDArray[np.uint8]
    """[n, M] 1 for the candidates whose score the re-ranker adds to."""
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
    feature_weights: NDArray[np.float32]
    """[n, 3, F] as of the event: the user's own weights δ of the features, and how these move with
    their step size (∂δ/∂α) and with what is kept (∂δ/∂ρ) (16-bit on the wire)."""
    profile_tokens: NDArray[np.int16]
    """[n, A] tokens of the users' profiles as they were known, -1 pads; A is 0 without any."""
