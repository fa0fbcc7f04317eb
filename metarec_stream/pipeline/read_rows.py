"""Rows of the changelog into memory, whether they come from Kafka or from the local disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.catalogue.items import UNKNOWN, Items, make_known
from metarec_stream.config import Settings
from metarec_stream.hashing import hash64
from metarec_stream.state.digest import row_hash
from metarec_stream.state.row import USER_KEY, UserRow, decode_row
from metarec_stream.state.row_columns import put_rows
from metarec_stream.state.users import Users


class ReadRow(NamedTuple):
    """A user's row, decoded."""

    user: str
    row: UserRow
    hash: int


def read_row(key: bytes, value: bytes, where: str) -> ReadRow:
    """Raises Fatal for a row of a later release, Degraded or UnicodeDecodeError for a damaged one.

    The message of an error is logged: users are not named in clear there.
    """
    user = key[len(USER_KEY) :].decode()
    row = decode_row(value, f"{where}, the user of hash {hash64(user):016x}")
    return ReadRow(user, row, row_hash(key, value))


class RowReader:
    """Gives rows and items their numbers in this process."""

    def __init__(self, settings: Settings, users: Users, items: Items) -> None:
        self._users = users
        self._items = items
        self._types = {name: number for number, name in enumerate(settings.events.table())}

    def put(self, partition: int, read: Sequence[ReadRow]) -> NDArray[np.int64]:
        """Users who are not in memory are from now on, as their rows in the changelog say.

        Returns the numbers of their rows. Raises Fatal for an interaction type that the settings
        do not know.
        """
        users, rows = self._users, [each.row for each in read]
        numbers = users.new_rows(partition, (each.user for each in read))
        put_rows(rows, users.rings, numbers, self._items.numbers_of, self._types)
        users.put_hashes(numbers, [each.hash for each in read])
        users.marks.upto[numbers] = [row.upto for row in rows]
        return numbers

    def meet_rows(self, numbers: NDArray[np.int64]) -> None:
        """What these users had to do with may be recommended."""
        rings = self._users.rings
        lengths = rings.length[numbers]
        longest = int(lengths.max(initial=0))
        used = np.arange(longest) < lengths[:, None]
        self._meet(np.unique(rings.item[numbers, :longest][used]))

    def meet(self, read: Sequence[ReadRow]) -> None:
        """The same for users who are not in memory."""
        ids = list(dict.fromkeys(item for each in read for item in each.row.items))
        self._meet(self._items.numbers_of(ids))

    def _meet(self, met: NDArray[np.int32]) -> None:
        availability = self._items.availability
        for item in met[availability.status[met] == UNKNOWN].tolist():
            make_known(availability, item)
