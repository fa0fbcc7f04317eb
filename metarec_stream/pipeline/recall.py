"""Histories of users alike for a partition that was restored, compiled: out of the rings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarec_stream.catalogue.histories import HISTORY, Histories, extend_history
from metarec_stream.compiled import compiled
from metarec_stream.pipeline.adapt import recent_items
from metarec_stream.state.rings import Rings

MOST_RECALLED = 4_096
"""Users of a partition: a tenth of a second, if all of their rings are full."""


def recall(
    histories: Histories, rings: Rings, users: NDArray[np.int64], weights: NDArray[np.float32]
) -> None:
    """The users who came last, of these rows, are known by what their rings hold."""
    newest = np.argsort(rings.time[users, 0], kind="stable")[-MOST_RECALLED:]
    _recall(histories, rings, users[newest], weights)


@compiled
def _recall(
    histories: Histories, rings: Rings, users: NDArray[np.int64], weights: NDArray[np.float32]
) -> None:
    recent = np.zeros(HISTORY, np.int32)
    for user in users:
        count = recent_items(rings, user, weights, recent)
        if count > 0:
            extend_history(histories, user, recent[1:], count - 1, recent[0])
