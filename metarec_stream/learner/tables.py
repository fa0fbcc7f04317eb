"""The slow weights in learning: growable item tables, the small parameters, and who owns a row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarec_stream.adapters.value_sum.parameters import TABLES, TOKEN_TABLES, hashed_values
from metarec_stream.contract.meta_version import MetaVersion

_FIRST_ROWS = 1_024


def with_room(tensor: Tensor, rows: int) -> Tensor:
    """The tensor if it has this many rows, else a copy with at least twice its rows, zeros new."""
    if rows <= tensor.shape[0]:
        return tensor
    capacity = max(rows, 2 * tensor.shape[0], _FIRST_ROWS)
    grown = torch.zeros((capacity, *tensor.shape[1:]), dtype=tensor.dtype, device=tensor.device)
    grown[: tensor.shape[0]] = tensor
    return grown


class ItemNumbers:
    """The table row of every item id that was ever seen; rows are never given back."""

    def __init__(self, items: Iterable[str]) -> None:
        self._rows = {item: row for row, item in enumerate(items)}

    def __len__(self) -> int:
        return len(self._rows)

    def ids(self) -> list[str]:
        """All item ids, in the order of their rows."""
        return list(self._rows)

    def rows(self, items: list[str]) -> tuple[NDArray[np.int32], list[str]]:
        """The rows of these items, and which of them got theirs just now, in row order."""
        before = len(self._rows)
        rows = [self._rows.setdefault(item, len(self._rows)) for item in items]
        new = [item for item, row in zip(items, rows, strict=True) if row >= before]
        return np.array(rows, np.int32), list(dict.fromkeys(new))


class SlowWeights:
    """One set of slow weights on the learner's device, rows of new items added at their start."""

    def __init__(self, version: MetaVersion, device: torch.device) -> None:
        self.rows = len(version.items)
        self.small: dict[str, Tensor] = {}
        self.tables: dict[str, Tensor] = {}
        for name, array in version.parameters.items():
            kept = self.tables if name in (*TABLES, *TOKEN_TABLES) else self.small
            kept[name] = torch.tensor(array, dtype=torch.float32, device=device)

    def add_items(self, items: list[str]) -> None:
        """Rows for items that no version knows: the value vector of their id, E = 0, b = 0."""
        if not items:
            return
        first, self.rows = self.rows, self.rows + len(items)
        for name in TABLES:
            self.tables[name] = with_room(self.tables[name], self.rows)
        values = torch.from_numpy(hashed_values(items, self.tables["value"].shape[1]))
        self.tables["value"][first : self.rows] = values.to(self.tables["value"].device)

    def open_tokens(self, name: str, token: int) -> None:
        """Zero rows for tokens up to this one, if the table has none; lengths are powers of two."""
        table = self.tables[name]
        if token >= table.shape[0]:
            more = (1 << token.bit_length()) - table.shape[0]
            self.tables[name] = torch.cat([table, table.new_zeros((more, *table.shape[1:]))])

    def length(self, name: str) -> int:
        """Rows of a table that are in use: not those that are room for more."""
        return self.rows if name in TABLES else self.tables[name].shape[0]

    def gather(self, table_rows: dict[str, Tensor]) -> dict[str, Tensor]:
        """Copies of the tables' rows in use beside the small parameters themselves."""
        used = {name: self.tables[name][rows] for name, rows in table_rows.items()}
        return {**self.small, **used}

    @torch.no_grad()
    def take_over(self, other: SlowWeights) -> None:
        """Become equal to another set that knows the same items."""
        self.rows = other.rows
        for name, tensor in other.small.items():
            self.small[name].copy_(tensor)
        for name in TABLES:
            self.tables[name] = with_room(self.tables[name], other.rows)
            self.tables[name][: other.rows] = other.tables[name][: other.rows]
        for name in TOKEN_TABLES:
            self.tables[name] = other.tables[name].clone()

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Copies of all parameters, as a meta version holds them."""
        tables = {name: tensor[: self.length(name)] for name, tensor in self.tables.items()}
        return {
            name: np.array(tensor.detach().cpu().numpy())
            for name, tensor in {**tables, **self.small}.items()
        }


class RowsInUse:
    """Finds the distinct rows of a step in linear time, without going through the catalogue."""

    def __init__(self) -> None:
        self._place = np.zeros(0, np.int32)

    def distinct(
        self, numbers: NDArray[np.int32], rows: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The distinct rows of `numbers` (row 0 if there are none), and each number's place there.

        Rows are below `rows`; -1 stays -1.
        """
        if len(self._place) < rows + 1:
            self._place = np.zeros(max(rows + 1, 2 * len(self._place)), np.int32)
        flat = numbers.ravel()
        order = np.arange(len(flat), dtype=np.int32)
        self._place[flat] = order
        distinct = flat[(self._place[flat] == order) & (flat >= 0)]
        self._place[distinct] = np.arange(len(distinct), dtype=np.int32)
        places = np.where(numbers >= 0, self._place[numbers], np.int32(-1))
        return (distinct if len(distinct) else np.zeros(1, np.int32)), places


def on_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array as a tensor there."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)
