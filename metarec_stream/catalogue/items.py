"""The catalogue: which item has which local number, and which may be recommended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.growth import grown

UNKNOWN, AVAILABLE, DELETED = 0, 1, 2
EXCLUDED = np.float32(-1e30)
"""Added to the score of what may not be recommended."""

_FIRST_CAPACITY = 1_024


class Availability(NamedTuple):
    """What may be recommended. N items (capacity)."""

    status: NDArray[np.int8]
    """[N] UNKNOWN (numbered, not yet wanted or announced), AVAILABLE or DELETED."""
    penalty: NDArray[np.float32]
    """[N] 0 for what may be recommended, else EXCLUDED."""
    frontier: NDArray[np.int64]
    """[1] items at or beyond this number are UNKNOWN."""
    available: NDArray[np.int64]
    """[1] how many may be recommended."""


@compiled
def make_known(availability: Availability, item: int) -> None:
    """An interaction with the item was accepted: it may be recommended unless it was deleted."""
    if availability.status[item] == UNKNOWN:
        availability.status[item] = AVAILABLE
        availability.penalty[item] = np.float32(0)
        availability.available[0] += 1
        availability.frontier[0] = max(availability.frontier[0], item + 1)


class Items:
    """Local numbers of item ids, in the order in which they came."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.numbers: dict[str, int] = {}
        self.availability = Availability(
            status=np.zeros(_FIRST_CAPACITY, np.int8),
            penalty=np.full(_FIRST_CAPACITY, EXCLUDED),
            frontier=np.zeros(1, np.int64),
            available=np.zeros(1, np.int64),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def capacity(self) -> int:
        """Numbers that there is room for."""
        return len(self.availability.status)

    def number(self, item: str) -> int:
        """The item's number, a new one at first sight."""
        number = self.numbers.get(item)
        if number is None:
            number = len(self.ids)
            self.numbers[item] = number
            self.ids.append(item)
            if number == self.capacity:
                self._grow()
        return number

    def numbers_of(self, ids: Sequence[str]) -> NDArray[np.int32]:
        """The numbers of many items, new ones in the order of their first occurrence."""
        try:
            return np.fromiter(map(self.numbers.__getitem__, ids), np.int32, len(ids))
        except KeyError:
            return np.fromiter(map(self.number, ids), np.int32, len(ids))

    def announce(self, items: Iterable[str]) -> None:
        """These may be recommended from now on, deleted ones again."""
        for item in items:
            number = self.number(item)
            self._set(number, AVAILABLE)

    def delete(self, item: str) -> None:
        """The item is not recommended until it is announced again."""
        self._set(self.number(item), DELETED)

    def _set(self, number: int, status: int) -> None:
        was = self.availability.status[number] == AVAILABLE
        self.availability.status[number] = status
        self.availability.penalty[number] = np.float32(0) if status == AVAILABLE else EXCLUDED
        self.availability.available[0] += int(status == AVAILABLE) - int(was)
        self.availability.frontier[0] = max(self.availability.frontier[0], number + 1)

    def _grow(self) -> None:
        old = self.availability
        self.availability = old._replace(
            status=grown(old.status, 2 * self.capacity),
            penalty=grown(old.penalty, 2 * self.capacity, float(EXCLUDED)),
        )
