"""Where a changelog's rows go as they are read: into memory, or onto the local disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from metarec_stream.contract.transport import Record
from metarec_stream.pipeline.cold_users import ColdUsers
from metarec_stream.pipeline.hard_state import HardState
from metarec_stream.pipeline.read_rows import ReadRow, RowReader
from metarec_stream.state.digest import Digest
from metarec_stream.state.row import USER_KEY, decode_row, user_key
from metarec_stream.state.row_store import STORE_VERSION, Change, Mark, StoredRow
from metarec_stream.state.users import Users


class RestoredRows(Protocol):
    """The rows of one partition's users; raises StoreFailed where they are on disk."""

    def mark(self) -> Mark | None:
        """What is here already."""
        ...

    def stored(self) -> Iterator[Sequence[StoredRow]]:
        """All that is here already, in slices."""
        ...

    def meet(self, read: Sequence[ReadRow]) -> None:
        """These users are here already."""
        ...

    def replace(self, keys: Sequence[bytes], read: Sequence[ReadRow]) -> int:
        """Of these keys, these rows are left; returns the sum of the hashes of those before."""
        ...

    def wrote(
        self, newest: Mapping[bytes, Record], hashes: Mapping[bytes, int], end: int, digest: Digest
    ) -> None:
        """A slice of the changelog ends here; these are its newest records by key.

        `hashes`: of those that are not damaged.
        """
        ...

    def count(self) -> int: ...
    def keys(self) -> set[bytes]: ...
    def highest_upto(self) -> int:
        """The last offset that any row holds; -1 if there is none."""
        ...

    def rewrite(self) -> None:
        """All of them have to be in the changelog anew."""
        ...

    def finish(self) -> None:
        """That was all."""
        ...

    def clear(self) -> None:
        """Begin anew, with none."""
        ...


def restored_rows(hard: HardState, reader: RowReader, partition: int) -> RestoredRows:
    """On disk where there is one that can be written."""
    if isinstance(hard.cold, ColdUsers) and not hard.cold.is_behind(partition):
        return OnDisk(hard.cold, reader, partition)
    return InMemory(hard.users, reader, partition)


class InMemory:
    """Everyone is brought into memory."""

    def __init__(self, users: Users, reader: RowReader, partition: int) -> None:
        self._users = users
        self._reader = reader
        self._partition = partition

    def mark(self) -> Mark | None:
        return None

    def stored(self) -> Iterator[Sequence[StoredRow]]:
        return iter(())

    def meet(self, read: Sequence[ReadRow]) -> None:
        pass

    def replace(self, keys: Sequence[bytes], read: Sequence[ReadRow]) -> int:
        before = sum(map(self._forget, keys))
        if read:
            self._reader.meet_rows(self._reader.put(self._partition, read))
        return before

    def wrote(
        self, newest: Mapping[bytes, Record], hashes: Mapping[bytes, int], end: int, digest: Digest
    ) -> None:
        pass

    def count(self) -> int:
        return self._users.count(self._partition)

    def keys(self) -> set[bytes]:
        rows = self._users.rows(self._partition).tolist()
        return {user_key(self._users.names[row]) for row in rows}

    def highest_upto(self) -> int:
        return int(self._users.marks.upto[self._users.rows(self._partition)].max(initial=-1))

    def rewrite(self) -> None:
        self._users.marks.dirty[self._users.rows(self._partition)] = True

    def finish(self) -> None:
        pass

    def clear(self) -> None:
        pass

    def _forget(self, key: bytes) -> int:
        """Returns the hash of the user's row, 0 if there was none."""
        number = self._users.find(self._partition, key[len(USER_KEY) :].decode())
        if number is None:
            return 0
        (before,) = self._users.hashes(np.array([number]))
        self._users.remove([number])
        return before


class OnDisk:
    """Everyone stays on disk until an event of theirs comes."""

    def __init__(self, cold: ColdUsers, reader: RowReader, partition: int) -> None:
        self._cold = cold
        self._store = cold.store
        self._reader = reader
        self._partition = partition
        self._users = 0
        self._end = 0

    def mark(self) -> Mark | None:
        mark = self._store.mark(self._partition)
        self._end = 0 if mark is None else mark.offset
        return mark

    def stored(self) -> Iterator[Sequence[StoredRow]]:
        return self._store.scan(self._partition)

    def meet(self, read: Sequence[ReadRow]) -> None:
        self._reader.meet(read)
        self._users += len(read)

    def replace(self, keys: Sequence[bytes], read: Sequence[ReadRow]) -> int:
        found = self._store.get([(self._partition, key) for key in keys]) if keys else []
        before = [each.hash for each in found if each is not None]
        self._users -= len(before)
        self.meet(read)
        return sum(before)

    def wrote(
        self, newest: Mapping[bytes, Record], hashes: Mapping[bytes, int], end: int, digest: Digest
    ) -> None:
        self._end = end
        mark = Mark(STORE_VERSION, end, self._users, digest.to_bytes())
        changes = [
            Change(key, each.value if key in hashes else None, hashes.get(key, 0))
            for key, each in newest.items()
        ]
        self._store.write(self._partition, changes, mark)

    def count(self) -> int:
        return self._users

    def keys(self) -> set[bytes]:
        return {row.key for each in self.stored() for row in each if row.key[:1] == USER_KEY}

    def highest_upto(self) -> int:
        rows = (row for each in self.stored() for row in each if row.key[:1] == USER_KEY)
        return max((decode_row(row.value, "a user on disk").upto for row in rows), default=-1)

    def rewrite(self) -> None:
        """The changelog has them as the disk has."""

    def finish(self) -> None:
        self._cold.restored(self._partition, self._users, self._end)

    def clear(self) -> None:
        self._users = self._end = 0
        self._store.drop(self._partition)
