"""Arrays whose first axis grows by doubling."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def grown(array: NDArray[Scalar], length: int, fill: float = 0, axis: int = 0) -> NDArray[Scalar]:
    """A copy of the array that is `length` long on `axis`; the new part holds `fill`."""
    shape = list(array.shape)
    shape[axis] = length - array.shape[axis]
    return np.concatenate([array, np.full(shape, fill, array.dtype)], axis=axis)


Rows = TypeVar("Rows", bound=tuple[Any, ...])


def grown_rows(rows: Rows, length: int) -> Rows:
    """A copy of a named tuple of arrays, each of which is `length` long; new rows hold zeros."""
    return type(rows)(*(grown(column, length) for column in rows))
