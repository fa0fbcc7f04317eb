"""The hard state of a process's partitions: what is in it, what changed, and how to undo that.

Hard state is a pure function of each partition's records: guards, rings, counters. What is kept
beside it here says how far it is in the log and in the changelog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import msgspec
import numpy as np
from numpy.typing import NDArray

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.growth import put_rows, taken_rows
from metarec_stream.pipeline.cold import Cold, NobodyCold
from metarec_stream.pipeline.guard import Guard
from metarec_stream.state.digest import Digest
from metarec_stream.state.rings import Rings
from metarec_stream.state.row import user_key
from metarec_stream.state.users import Marks, Users

Rows = NDArray[np.int64]
_LONG_AGO = np.iinfo(np.int64).min


@dataclass(slots=True)
class Progress:
    """How far a partition's state is in the log, and what its changelog holds."""

    offset: int = 0
    """Next record to apply."""
    written: int = 0
    """That of the last checkpoint."""
    written_ids: int = 0
    """Event ids below this number are in the changelog."""
    segments: dict[int, int] = field(default_factory=dict)
    """Hashes of the guard's segments in the changelog, by number."""
    digest: Digest = field(default_factory=Digest)
    """Of all rows and segments in the changelog."""
    missing: int = 0
    """Records that retention took before they were applied."""
    damaged: bool = False
    """Whether rows were lost that could not be rebuilt."""
    leftover: set[bytes] = field(default_factory=set)
    """Keys of the changelog that the next checkpoint has to write or delete."""
    erased: dict[bytes, int] = field(default_factory=dict)
    """Keys of users who were erased since the last checkpoint, with their rows' hashes there."""
    expired: dict[bytes, int] = field(default_factory=dict)
    """The same of users who did not come back."""
    live: bool = False
    """Whether it has caught up with the committed offset, so that it may write checkpoints."""

    @property
    def forgotten(self) -> dict[bytes, int]:
        """Keys that the changelog has to lose, with their hashes: of a user who is both, once."""
        return {**self.erased, **self.expired}


@dataclass(frozen=True, slots=True)
class _Touched:
    """Rows as they were before a batch."""

    rows: Rows
    rings: Rings
    marks: Marks


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A user who starts from nothing, until that is for good."""

    partition: int
    user: str
    row: int
    """What the user had up to there; -1 if nothing, or nothing in memory."""
    stored: bool
    """Whether that is why the changelog's row of the user goes."""


@dataclass(frozen=True, slots=True)
class Expired(Forgotten):
    """A user who did not come back."""


@dataclass(frozen=True, slots=True)
class Erased(Forgotten):
    """A user whom the log says to erase."""

    offset: int
    """Of the record that says so."""
    timestamp: int


class HardState:
    """Guards, users and progress by partition.

    `on_undone(kept, gone)`: rows that are as before, and rows that are free again, be it because
    their users had nothing before the batch or because they were erased.
    """

    def __init__(
        self, settings: Settings, users: Users, on_undone: Callable[[Rows, list[int]], None]
    ) -> None:
        self.settings = settings
        self.settings_hash = _hash_of(settings)
        """8 bytes of everything set that hard state depends on."""
        self.users = users
        self.cold: Cold = NobodyCold()
        """Users who are not in memory."""
        self._batches = 0
        self.guards: dict[int, Guard] = {}
        self.progress: dict[int, Progress] = {}
        self._on_undone = on_undone
        self._offsets_before: dict[int, int] | None = None
        self._touched: list[_Touched] = []
        self._forgotten: list[Forgotten] = []
        """In order; their rows are not overwritten yet."""

    def assign(self, partition: int) -> None:
        """Start a partition with nothing in it."""
        self.guards[partition] = Guard(self.settings.guard)
        self.progress[partition] = Progress()
        self.users.assign(partition)
        self.cold.assign(partition)

    def drop(self, partition: int) -> list[int]:
        """Forget a partition; the rows that became free."""
        self._overwrite([each for each in self._forgotten if each.partition == partition])
        self._forgotten = [each for each in self._forgotten if each.partition != partition]
        del self.guards[partition], self.progress[partition]
        self.cold.forget(partition)
        return self.users.drop(partition)

    def count(self, partition: int) -> int:
        """Users of a partition, in memory or not."""
        return self.users.count(partition) + self.cold.count(partition)

    def touch(self, rows: Rows, offsets: Sequence[int]) -> NDArray[np.bool_]:
        """These rows are about to get the events of these offsets, in order.

        Returns which events [n] they do not hold yet: a row read from the changelog may be ahead.
        """
        at = np.array(offsets, np.int64)
        marks = self.users.marks
        if self._offsets_before is not None:
            self._save(np.unique(rows))
        self._batches += 1
        marks.seen[rows] = self._batches
        applied: NDArray[np.bool_] = at > marks.upto[rows]
        marks.upto[rows[applied]] = at[applied]
        marks.dirty[rows[applied]] = True
        return applied

    def erase(self, partition: int, user: str, offset: int, timestamp: int) -> None:
        """The user starts from nothing after this offset; a row that is ahead of it stays.

        What was there is overwritten by `settle`, or by `keep` where it can still be undone.
        """
        users, progress, key = self.users, self.progress[partition], user_key(user)
        row, hashed = users.find(partition, user), 0
        if row is not None and users.marks.upto[row] < offset:
            users.detach(partition, user)
            (hashed,) = users.hashes(np.array([row]))
        else:
            row = -1
        # What the disk holds of a user who expired before has to go as thoroughly.
        stored = hashed != 0 or (key in progress.expired and key not in progress.erased)
        if stored:
            progress.erased[key] = hashed
        self._forgotten.append(Erased(partition, user, row, stored, offset, timestamp))

    def expire(self, partition: int, limit: int, newest: Mapping[int, int]) -> None:
        """Whoever has had no event since `limit` (ms) starts from nothing.

        `newest`: of rows that are about to get events before that, their largest time. A row that
        is ahead of the log has an event after it: none is accepted that is older than `limit`.
        What was there is overwritten as by `erase`.
        """
        users, progress = self.users, self.progress[partition]
        last = np.where(users.rings.length > 0, users.rings.time[:, 0], _LONG_AGO)
        for row, time in newest.items():
            last[row] = max(last[row], time)
        rows = users.rows(partition)
        going = rows[last[rows] < limit]
        for row, hashed in zip(going.tolist(), users.hashes(going), strict=True):
            user = users.names[row]
            users.detach(partition, user)
            if hashed:
                progress.expired[user_key(user)] = hashed
            self._forgotten.append(Expired(partition, user, row, hashed != 0))
        for user, hashed in self.cold.expire(partition, limit).items():
            progress.expired[user_key(user)] = hashed
            self._forgotten.append(Expired(partition, user, -1, stored=True))

    @property
    def erased(self) -> list[Erased]:
        """Users whom the log said to erase, in order, until that is for good."""
        return [each for each in self._forgotten if isinstance(each, Erased)]

    def replayed(self) -> None:
        """A slice that nothing can undo has been applied."""
        self.settle()
        self.cold.shrink()

    def settle(self) -> None:
        """Overwrite what was erased, unless it may have to be undone."""
        if self._offsets_before is None:
            self._overwrite(self._forgotten)
            self._forgotten = []

    def passed(self, records: Iterable[Record]) -> None:
        """These records have been applied."""
        for record in records:
            self.progress[record.partition].offset = record.offset + 1

    def begin(self) -> None:
        """From here on, what changes can be undone."""
        self._touched.clear()
        self._offsets_before = {at: each.offset for at, each in self.progress.items()}
        for guard in self.guards.values():
            guard.begin()

    def keep(self) -> None:
        """What changed since `begin` stays."""
        self._touched.clear()
        self._offsets_before = None
        self.settle()
        for guard in self.guards.values():
            guard.keep()
        self.cold.shrink()

    def undo(self) -> None:
        """As it was at `begin`; partitions that were dropped since stay dropped."""
        for partition, offset in (self._offsets_before or {}).items():
            if partition in self.progress:
                self.progress[partition].offset = offset
        for guard in self.guards.values():
            guard.undo()
        for forgotten in reversed(self._forgotten):
            self._remember(forgotten)
        self._forgotten.clear()
        for touched in reversed(self._touched):
            self._put_back(touched)
        self.keep()

    def _remember(self, forgotten: Forgotten) -> None:
        """The user is as before."""
        partition, user = forgotten.partition, forgotten.user
        progress, key = self.progress[partition], user_key(user)
        if forgotten.row >= 0:
            self.users.attach(partition, user, forgotten.row)
        if isinstance(forgotten, Erased):
            if forgotten.stored:
                del progress.erased[key]
            return
        if forgotten.stored:
            del progress.expired[key]
        if forgotten.row < 0:
            self.cold.take_back(partition)

    def _overwrite(self, forgotten: list[Forgotten]) -> None:
        rows = [each.row for each in forgotten if each.row >= 0]
        if rows:
            self.users.erase(rows)
            self._on_undone(np.zeros(0, np.int64), rows)

    def _save(self, rows: Rows) -> None:
        rings, marks = taken_rows(self.users.rings, rows), taken_rows(self.users.marks, rows)
        self._touched.append(_Touched(rows, rings, marks))

    def _put_back(self, touched: _Touched) -> None:
        """Rows of users who were not there before are free again."""
        present = np.isin(touched.marks.partition, list(self.progress))
        was_there = touched.rings.accepted > 0
        old = np.flatnonzero(present & was_there)
        rows = touched.rows[old]
        put_rows(self.users.rings, rows, taken_rows(touched.rings, old))
        put_rows(self.users.marks, rows, taken_rows(touched.marks, old))
        gone = touched.rows[present & ~was_there].tolist()
        self.users.remove(gone)
        self._on_undone(rows, gone)


def _hash_of(settings: Settings) -> bytes:
    guard, weights = settings.guard, settings.events.table()
    wanted = {name: weight > 0 for name, weight in weights.items()}
    parts = [settings.state.ring, guard.model_dump(), wanted]
    if settings.state.ttl_s is not None:
        parts.append(settings.state.ttl_s)
    return blake2b(msgspec.json.encode(parts, order="sorted"), digest_size=8).digest()
