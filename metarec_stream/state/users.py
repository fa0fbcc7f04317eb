"""Which user has which row, partition by partition, and the rows' growth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.growth import grown_rows
from metarec_stream.state.rings import Rings, empty_rings

_FIRST_CAPACITY = 1_024
_HALF = (1 << 64) - 1
NEVER = -1
"""`upto` of a user to whom nothing was applied."""


class Marks(NamedTuple):
    """What is kept of a row beside its ring, one row a user."""

    partition: NDArray[np.int32]
    upto: NDArray[np.int64]
    """[U] offset of the last record applied."""
    dirty: NDArray[np.bool_]
    """[U] whether it was touched since the partition's last checkpoint."""
    hash: NDArray[np.uint64]
    """[U, 2] of its row in the changelog, low half first; 0 if it has none."""
    stored: NDArray[np.bool_]
    """[U] whether its row in the changelog is on the local disk."""
    seen: NDArray[np.int64]
    """[U] number of the batch that touched it last."""


class Users:
    """The users in memory: rows of the rings, numbered as users come.

    The same user in two partitions (producers that hash keys differently) has two rows: state
    is a function of one partition's records.
    """

    def __init__(self, ring: int) -> None:
        self.rings: Rings = empty_rings(_FIRST_CAPACITY, ring)
        self.marks = _empty_marks(_FIRST_CAPACITY)
        self.names: list[str] = []
        """User ids by row; of a free row, the last one's."""
        self._rows: dict[int, dict[str, int]] = {}
        self._free: list[int] = []
        self._detached: set[int] = set()
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
        return len(self) * self.row_nbytes

    @property
    def row_nbytes(self) -> int:
        """Bytes of a row, whatever is in it."""
        return sum(column.nbytes for column in (*self.rings, *self.marks)) // self.capacity

    def assign(self, partition: int) -> None:
        """Start a partition with no users."""
        self._rows[partition] = {}

    def drop(self, partition: int) -> list[int]:
        """Forget a partition's users; the rows that became free."""
        freed = list(self._rows.pop(partition, {}).values())
        self._clear(freed)
        return freed

    def remove(self, rows: list[int]) -> None:
        """Forget single users."""
        for row in rows:
            own = self._rows[int(self.marks.partition[row])]
            if own.get(self.names[row]) == row:
                del own[self.names[row]]
        self._clear(rows)

    def release(self, rows: list[int]) -> None:
        """Forget single users who are kept on disk, their names as well."""
        self.remove(rows)
        for row in rows:
            self.names[row] = ""

    def detach(self, partition: int, user: str) -> int | None:
        """The user's row is nobody's from here on, and stays as it is until `erase` or `attach`."""
        row = self._rows[partition].pop(user, None)
        if row is not None:
            self._detached.add(row)
        return row

    def attach(self, partition: int, user: str, row: int) -> None:
        """A detached row is the user's again, whichever one the user has had since."""
        self._detached.discard(row)
        self._rows[partition][user] = row

    def erase(self, rows: list[int]) -> None:
        """Overwrite detached rows; they are free."""
        for column in self.rings:
            column[rows] = 0
        for row in rows:
            self.names[row] = ""
        self._detached.difference_update(rows)
        self._clear(rows)

    def find(self, partition: int, user: str) -> int | None:
        """The user's row, if there is one."""
        return self._rows[partition].get(user)

    def row(self, partition: int, user: str) -> int:
        """The user's row, a new one at first sight."""
        row = self._rows[partition].get(user)
        if row is None:
            row = self._new_row(partition, user)
            self.marks.partition[row] = partition
        return row

    def new_rows(self, partition: int, users: Iterable[str]) -> NDArray[np.int64]:
        """Rows for users who have none."""
        rows = np.array([self._new_row(partition, user) for user in users], np.int64)
        self.marks.partition[rows] = partition
        return rows

    def count(self, partition: int) -> int:
        """Users of a partition."""
        return len(self._rows[partition])

    def rows(self, partition: int) -> NDArray[np.int64]:
        """The rows of a partition's users."""
        return np.fromiter(self._rows[partition].values(), np.int64, self.count(partition))

    def dirty_rows(self, partition: int) -> NDArray[np.int64]:
        """The rows of a partition that were touched since its last checkpoint."""
        dirty: NDArray[np.int64] = np.flatnonzero(self.marks.dirty[: self._used])
        chosen: NDArray[np.int64] = dirty[self.marks.partition[dirty] == partition]
        if self._detached:
            chosen = chosen[~np.isin(chosen, list(self._detached))]
        return chosen

    def hashes(self, rows: NDArray[np.int64]) -> list[int]:
        """128 bits each: of these rows in the changelog; 0 for those it does not hold."""
        return [low | high << 64 for low, high in self.marks.hash[rows].tolist()]

    def put_hashes(self, rows: NDArray[np.int64], hashes: Sequence[int]) -> None:
        """The changelog holds these rows so from now on."""
        halves = [(each & _HALF, each >> 64) for each in hashes]
        self.marks.hash[rows] = np.array(halves, np.uint64).reshape(-1, 2)

    def _clear(self, rows: list[int]) -> None:
        for counter in (self.rings.length, self.rings.accepted, self.rings.wanted):
            counter[rows] = 0
        self.rings.repeats[rows] = 0
        self.marks.partition[rows] = NEVER
        self.marks.upto[rows] = NEVER
        self.marks.dirty[rows] = False
        self.marks.hash[rows] = 0
        self.marks.stored[rows] = False
        self._free.extend(rows)

    def _new_row(self, partition: int, user: str) -> int:
        row = self._free.pop() if self._free else self._next()
        self._rows[partition][user] = row
        self.names[row] = user
        return row

    def _next(self) -> int:
        if self._used == self.capacity:
            self.rings = grown_rows(self.rings, 2 * self.capacity)
            self.marks = _grown(self.marks, self.capacity)
        self._used += 1
        self.names.append("")
        return self._used - 1


def _empty_marks(users: int) -> Marks:
    return Marks(
        partition=np.full(users, NEVER, np.int32),
        upto=np.full(users, NEVER, np.int64),
        dirty=np.zeros(users, np.bool_),
        hash=np.zeros((users, 2), np.uint64),
        stored=np.zeros(users, np.bool_),
        seen=np.zeros(users, np.int64),
    )


def _grown(marks: Marks, users: int) -> Marks:
    made, used = _empty_marks(users), len(marks.upto)
    made.partition[:used] = marks.partition
    made.upto[:used] = marks.upto
    made.dirty[:used] = marks.dirty
    made.hash[:used] = marks.hash
    made.stored[:used] = marks.stored
    made.seen[:used] = marks.seen
    return made
