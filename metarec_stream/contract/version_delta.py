"""What a meta version changes of an earlier, full one: the rows that moved, and what is small.

An outer step moves the rows of the items it saw, so of a large catalogue little is new. A delta is
against the newest full version, not the one before it: any delta may be missed or skipped, and who
starts needs one full version and one delta.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metarec_stream.contract.meta_version import MetaVersion

_LARGEST_SHARE = 0.5
"""Of the full version's numbers: a delta of more is not worth having."""

Parameters = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Delta:
    """Against one full version; of a parameter in neither part, nothing has changed."""

    full: int
    """The number of that version."""
    items: list[str]
    """Item ids after those of the full version."""
    parameters: Parameters
    """Whole, or the changed rows of those in `rows`."""
    rows: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    """By parameter: the numbers of its changed rows, ascending."""


def delta_between(full: MetaVersion, version: MetaVersion) -> Delta | None:
    """What turns one into the other; None where their items differ or nearly all has changed."""
    known = len(full.items)
    if full.adapter != version.adapter or version.items[:known] != full.items:
        return None
    delta = Delta(full.version, version.items[known:], {})
    for name, array in version.parameters.items():
        _add_changes(delta, name, full.parameters.get(name), array)
    if _numbers(delta.parameters) > _LARGEST_SHARE * _numbers(version.parameters):
        return None
    return delta


def with_delta(
    full: MetaVersion, delta: Delta, shapes: Mapping[str, Sequence[int]]
) -> tuple[list[str], Parameters]:
    """The items and parameters of the later version, of these shapes.

    Raises ValueError where the delta does not fit the full version or the shapes.
    """
    parameters = {name: _changed(full, delta, name, shape) for name, shape in shapes.items()}
    return full.items + delta.items, parameters


def _add_changes(
    delta: Delta, name: str, old: NDArray[np.float32] | None, new: NDArray[np.float32]
) -> None:
    if old is None or new.ndim == 0 or old.shape[1:] != new.shape[1:] or len(old) > len(new):
        delta.parameters[name] = new
        return
    rows = _changed_rows(old, new)
    if len(rows) > _LARGEST_SHARE * len(new):
        delta.parameters[name] = new
    elif len(rows) or len(old) != len(new):
        delta.parameters[name], delta.rows[name] = new[rows], rows


def _changed_rows(old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.int32]:
    """Rows of other bits, and all that are new."""
    known, width = len(old), int(np.prod(new.shape[1:]))
    before = np.ascontiguousarray(old).view(np.uint32).reshape(known, width)
    after = np.ascontiguousarray(new[:known]).view(np.uint32).reshape(known, width)
    moved = np.ones(len(new), np.bool_)
    moved[:known] = (before != after).any(1)
    return np.flatnonzero(moved).astype(np.int32)


def _changed(
    full: MetaVersion, delta: Delta, name: str, shape: Sequence[int]
) -> NDArray[np.float32]:
    rows = delta.rows.get(name)
    if rows is None:
        return delta.parameters[name] if name in delta.parameters else full.parameters[name]
    old, length = full.parameters[name], shape[0]
    if tuple(shape[1:]) != old.shape[1:] or not len(old) <= length <= len(old) + len(rows):
        raise ValueError(f"{name!r} cannot have the shape {list(shape)}")
    if len(rows) and (rows[0] < 0 or rows[-1] >= length or (np.diff(rows) <= 0).any()):
        raise ValueError(f"the rows of {name!r} are not ascending within {length}")
    array = np.zeros((length, *old.shape[1:]), np.float32)
    array[: len(old)] = old
    array[rows] = delta.parameters[name]
    return array


def _numbers(parameters: Parameters) -> int:
    return sum(array.size for array in parameters.values())
