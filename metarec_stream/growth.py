"""Arrays whose first axis grows by doubling."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def grown(array: NDArray[Scalar], length: int, fill: float = 0, axis: int = 0) -> NDArray[Scalar]:
    """A copy of the array that is `length` long on `axis`; the new part holds `fill`."""
    shape = list(array.shape)
    shape[axis] = length
    # Zeros take no memory until they are written to.
    made = np.full(shape, fill, array.dtype) if fill else np.zeros(shape, array.dtype)
    made[tuple(slice(known) for known in array.shape)] = array
    return made


Rows = TypeVar("Rows", bound=tuple[Any, ...])


def grown_rows(rows: Rows, length: int) -> Rows:
    """A copy of a named tuple of arrays, each of which is `length` long; new rows hold zeros."""
    return type(rows)(*(grown(column, length) for column in rows))


def taken_rows(rows: Rows, which: NDArray[np.int64]) -> Rows:
    """Copies of some rows of a named tuple of arrays."""
    return type(rows)(*(column[which] for column in rows))


def put_rows(rows: Rows, which: NDArray[np.int64], values: Rows) -> None:
    """Write rows into a named tuple of arrays, in place."""
    for column, value in zip(rows, values, strict=True):
        column[which] = value
