"""What tokens of items and users add to their rows: the mean of their tokens' rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def add_means(
    table: Array, rows: NDArray[np.int64], tokens: NDArray[np.int16], told: Array
) -> None:
    """Add to distinct rows of `table` [N, …] the means of `told` [B, …] over tokens [rows, K].

    -1 pads. A token beyond `told` is one that nothing was learned of yet: zeros.
    """
    some = (tokens >= 0).any(1)
    if not len(told) or not some.any():
        return
    rows, tokens = rows[some], tokens[some]
    shares = (1.0 / (tokens >= 0).sum(1)).astype(np.float32)
    means = np.zeros((len(rows), *told.shape[1:]), np.float32)
    for column in tokens.T:
        known = (column >= 0) & (column < len(told))
        means[known] += told[column[known]]
    table[rows] += means * shares.reshape(-1, *[1] * (told.ndim - 1))
