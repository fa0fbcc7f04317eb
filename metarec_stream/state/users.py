"""Which user has which row, partition by partition, and the rows' growth."""

from __future__ import annotations

from metarec_stream.growth import grown_rows
from metarec_stream.state.rings import Rings, empty_rings

_FIRST_CAPACITY = 1_024


class Users:
    """The users in memory: rows of the rings, numbered as users come.

    The same user in two partitions (producers that hash keys differently) has two rows: state
    is a function of one partition's records.
    """

    def __init__(self, ring: int) -> None:
        self.rings: Rings = empty_rings(_FIRST_CAPACITY, ring)
        self._rows: dict[int, dict[str, int]] = {}
        self._free: list[int] = []
        self._used = 0

    def __len__(self) -> int:
        return self._used - len(self._free)

    @property
    def capacity(self) -> int:
        """Rows there is room for."""
        return len(self.rings.length)

    @property
    def used(self) -> int:
        """Rows ever handed out: numbers are below this."""
        return self._used

    def nbytes(self) -> int:
        """Bytes that the rows in use take."""
        return sum(column.nbytes for column in self.rings) * len(self) // self.capacity

    def assign(self, partition: int) -> None:
        """Start a partition with no users."""
        self._rows[partition] = {}

    def drop(self, partition: int) -> list[int]:
        """Forget a partition's users; the rows that became free."""
        freed = list(self._rows.pop(partition, {}).values())
        for row in freed:
            self.rings.length[row] = 0
            self.rings.accepted[row] = 0
            self.rings.wanted[row] = 0
            self.rings.repeats[row] = 0
        self._free.extend(freed)
        return freed

    def find(self, partition: int, user: str) -> int | None:
        """The user's row, if there is one."""
        return self._rows[partition].get(user)

    def row(self, partition: int, user: str) -> int:
        """The user's row, a new one at first sight."""
        rows = self._rows[partition]
        row = rows.get(user)
        if row is None:
            row = self._free.pop() if self._free else self._next()
            rows[user] = row
        return row

    def _next(self) -> int:
        if self._used == self.capacity:
            self.rings = grown_rows(self.rings, 2 * self.capacity)
        self._used += 1
        return self._used - 1
