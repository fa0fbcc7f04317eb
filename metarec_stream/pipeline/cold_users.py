"""Users who are not in memory: where their rows are, and how they come and go.

The disk holds, of each partition, what its changelog holds as of the last checkpoint. So a user who
was not touched since then can leave memory without a write, and comes back by a read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from metarec_stream.errors import Degraded, Fatal
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.cold import Written
from metarec_stream.pipeline.hard_state import HardState
from metarec_stream.pipeline.read_rows import ReadRow, RowReader, read_row
from metarec_stream.state.digest import row_hash
from metarec_stream.state.header import segment_key
from metarec_stream.state.lifetime import lifetime_of
from metarec_stream.state.row import USER_KEY, encode_rows, user_key
from metarec_stream.state.row_store import STORE_VERSION, Change, Mark, RowStore, StoreFailed
from metarec_stream.state.settings import StateSettings

SPARE = 16
"""When users have to go, one in so many goes beyond that: the next batches need not choose."""
DEGRADED = "cold-users"
_NO_ROWS = np.zeros(0, np.int64)

log = structlog.get_logger()


@dataclass(slots=True)
class _Behind:
    """What the disk lacks of a partition's changelog, because it could not be written."""

    removed: set[bytes] = field(default_factory=set)
    """Keys that are in the changelog no more."""
    empty: bool = False
    """Whether the disk is to be taken for empty."""


class ColdUsers:
    """Those beyond `state.max_hot_users` or `state.max_hot_bytes` are on disk alone.

    `on_released(rows)`: these rows are free again.
    """

    def __init__(
        self,
        hard: HardState,
        store: RowStore,
        reader: RowReader,
        item_ids: Sequence[str],
        metrics: ConsumerMetrics,
        most: int,
        on_released: Callable[[list[int]], None],
    ) -> None:
        self._hard = hard
        self.store = store
        self._reader = reader
        self._item_ids = item_ids
        self._metrics = metrics
        self._most = most
        self._on_released = on_released
        self._types = list(hard.settings.events.table())
        self._where = hard.settings.topics.state
        self._counts: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._behind: dict[int, _Behind] = {}
        self._lifetime = lifetime_of(hard.settings.state)
        self._limits: dict[int, int] = {}
        """Nobody of a partition is left from before this time, unless that was undone since."""
        self.crowded = False
        self.degraded: str | None = None

    def assign(self, partition: int) -> None:
        self._counts[partition] = 0
        self._ends[partition] = 0
        self._catch_up(partition)

    def forget(self, partition: int) -> None:
        del self._counts[partition], self._ends[partition]
        self._limits.pop(partition, None)
        self._catch_up(partition)

    def discard(self, partition: int) -> None:
        try:
            self.store.drop(partition)
        except StoreFailed as error:
            if partition in self._counts:
                self._fall_behind(partition, error).empty = True
            else:
                log.warning("cold_users_not_deleted", partition=partition, reason=str(error))

    def fail(self, partition: int, error: StoreFailed) -> None:
        """The disk is of no use to a partition that was just assigned."""
        self._fall_behind(partition, error).empty = True

    def restored(self, partition: int, users: int, end: int) -> None:
        """The disk holds this many users of it, all there are, and the changelog below `end`."""
        self._counts[partition] = users
        self._ends[partition] = end

    def is_behind(self, partition: int) -> bool:
        """Whether the disk could not be written: what is in memory has to stay there."""
        return partition in self._behind

    def count(self, partition: int) -> int:
        """Users of a partition who are on disk alone."""
        return self._counts[partition]

    def load(self, users: Iterable[tuple[int, str]]) -> None:
        wanted = [user for user in dict.fromkeys(users) if self._may_be_stored(*user)]
        if not wanted:
            return
        read: dict[int, list[ReadRow]] = {}
        for partition, row in self._read([(at, user_key(user)) for at, user in wanted]):
            read.setdefault(partition, []).append(row)
        for partition, rows in read.items():
            numbers = self._reader.put(partition, rows)
            self._hard.users.marks.stored[numbers] = True
            self._counts[partition] -= len(rows)
            self._metrics.cold_loads.inc(len(rows))

    def expire(self, partition: int, limit: int) -> dict[str, int]:
        self._limits[partition] = limit
        expired: dict[str, int] = {}
        if self._counts[partition] == 0:
            return expired
        with self._rereading([partition]):
            for stored in self.store.expired(partition, limit):
                # Somebody may stand under several parts of time, hence in several slices.
                users = {each.key[len(USER_KEY) :].decode(): each.hash for each in stored}
                expired |= {
                    user: hashed
                    for user, hashed in users.items()
                    if self._may_be_stored(partition, user)
                }
        self._counts[partition] -= len(expired)
        return expired

    def take_back(self, partition: int) -> None:
        self._counts[partition] += 1

    def shrink(self) -> None:
        users, marks = self._hard.users, self._hard.users.marks
        over = len(users) - self._most
        self.crowded = False
        if over <= 0:
            return
        used = slice(users.used)
        there = marks.partition[used] >= 0
        self.crowded = int(np.count_nonzero(marks.dirty[used] & there)) > self._most
        free = np.flatnonzero(there & marks.stored[used] & ~marks.dirty[used])
        going = min(len(free), over + self._most // SPARE)
        if going == 0:
            return
        oldest = np.argpartition(marks.seen[free], going - 1)[:going]
        self._release(free[oldest])

    def checkpointed(self, written: Written) -> None:
        partition = written.partition
        self._ends[partition] = written.end or self._ends[partition]
        removed = {each.key or b"" for each in written.outputs if each.value is None}
        try:
            self._write(written)
        except StoreFailed as error:
            behind = self._fall_behind(partition, error)
            behind.removed |= removed | set(written.erased)
            self._hard.users.marks.stored[written.rows] = False
            return
        if partition in self._behind:
            log.info("cold_users_written_again", partition=partition)
        self._catch_up(partition)

    def export(self) -> None:
        self._metrics.cold_users.set(sum(self._counts.values()))
        self._metrics.store_bytes.set(self.store.nbytes())

    def _may_be_stored(self, partition: int, user: str) -> bool:
        """Whether to ask the disk, which still holds who was forgotten since the checkpoint."""
        if self._counts[partition] == 0 or self._hard.users.find(partition, user) is not None:
            return False
        key = user_key(user)
        behind = self._behind.get(partition)
        removed = behind is not None and key in behind.removed
        progress = self._hard.progress[partition]
        return not (removed or key in progress.erased or key in progress.expired)

    def _read(self, wanted: list[tuple[int, bytes]]) -> list[tuple[int, ReadRow]]:
        """Raises Fatal, once the partitions are off the disk, if anything is not as it was."""
        with self._rereading({partition for partition, _ in wanted}):
            return [
                (partition, read_row(stored.key, stored.value, f"{self._where}/{partition}"))
                for (partition, _), stored in zip(wanted, self.store.get(wanted), strict=True)
                if stored is not None
            ]

    @contextmanager
    def _rereading(self, partitions: Iterable[int]) -> Iterator[None]:
        """Where the disk fails, the next start reads these from the changelog."""
        try:
            yield
        except (Degraded, UnicodeDecodeError, msgspec.MsgspecError) as error:
            for partition in partitions:
                self.discard(partition)
            raise Fatal(
                f"users on disk could not be read ({error}): they were deleted there; start this "
                "process again, and it reads them from the changelog; if that happens again, check "
                "the disk or set another METAREC_STATE__FOLDER"
            ) from error

    def _release(self, rows: NDArray[np.int64]) -> None:
        partitions, counts = np.unique(self._hard.users.marks.partition[rows], return_counts=True)
        for partition, count in zip(partitions.tolist(), counts.tolist(), strict=True):
            self._counts[partition] += count
        released = rows.tolist()
        self._hard.users.release(released)
        self._on_released(released)
        self._metrics.cold_evictions.inc(len(released))

    def _write(self, written: Written) -> None:
        partition, behind = written.partition, self._behind.get(written.partition)
        outputs, count = written.outputs, len(written.rows)
        missed, removed = _NO_ROWS, set[bytes]()
        if behind is not None:
            self._repair(partition, behind)
            missed, removed = self._missed(partition), behind.removed
        changes = [
            *(Change(key, None) for key in removed),
            *self._encoded(partition, missed, behind),
            *(
                Change(output.key or b"", output.value, hashed)
                for output, hashed in zip(outputs[:count], written.hashes, strict=True)
            ),
            *(_change(output.key or b"", output.value) for output in outputs[count:]),
        ]
        mark = Mark(STORE_VERSION, self._ends[partition], written.users, written.digest.to_bytes())
        self.store.write(partition, changes, mark, self._limit(partition))
        self._hard.users.marks.stored[written.rows] = True
        self._hard.users.marks.stored[missed] = True
        self.store.purge(partition, [*written.erased, *removed])

    def _limit(self, partition: int) -> int | None:
        """Below what time nobody is left, as of this checkpoint."""
        limit, watermark = self._limits.get(partition), self._hard.guards[partition].watermark
        if limit is None or self._lifetime is None or limit > self._lifetime.limit(watermark):
            return None
        return limit

    def _repair(self, partition: int, behind: _Behind) -> None:
        """After a failed write: opened anew, the disk has to hold what it held before."""
        self.store.check_room()
        before = [self.store.mark(at) for at in self._counts]
        self.store.reopen()
        if [self.store.mark(at) for at in self._counts] != before:
            raise Fatal(
                f"users on disk are not what was written of {self._where}: start this process "
                "again, and it reads them from the changelog"
            )
        if behind.empty:
            self.store.drop(partition)

    def _missed(self, partition: int) -> NDArray[np.int64]:
        """Rows as they are in the changelog, which the disk lacks."""
        marks, own = self._hard.users.marks, self._hard.users.rows(partition)
        missed: NDArray[np.int64] = own[~marks.stored[own] & ~marks.dirty[own]]
        return missed

    def _encoded(
        self, partition: int, rows: NDArray[np.int64], behind: _Behind | None
    ) -> list[Change]:
        """These, and all that the guard remembers."""
        if behind is None:
            return []
        hard, upto = self._hard, self._hard.users.marks.upto[rows]
        values = encode_rows(hard.users.rings, rows, upto, self._item_ids, self._types)
        keys = [user_key(hard.users.names[row]) for row in rows.tolist()]
        ids = hard.guards[partition].event_ids
        return [
            *(_change(segment_key(at), ids.encoded(at)) for at in ids.segments()),
            *(_change(key, value) for key, value in zip(keys, values, strict=True)),
        ]

    def _fall_behind(self, partition: int, error: StoreFailed) -> _Behind:
        if partition not in self._behind:
            log.warning("cold_users_not_written", partition=partition, reason=str(error))
        behind = self._behind.setdefault(partition, _Behind())
        self._tell_degraded(str(error))
        return behind

    def _catch_up(self, partition: int) -> None:
        """The disk lacks nothing of it any more."""
        if self._behind.pop(partition, None) is not None:
            self._tell_degraded(self.degraded)

    def _tell_degraded(self, why: str | None) -> None:
        self.degraded = why if self._behind else None
        self._metrics.degraded.labels(DEGRADED).set(int(bool(self._behind)))


def most_in_memory(settings: StateSettings, row_nbytes: int) -> int | None:
    """How many users may be, at `row_nbytes` each; None for any number."""
    bounds = [] if settings.max_hot_users is None else [settings.max_hot_users]
    if settings.max_hot_bytes is not None:
        bounds.append(max(1, settings.max_hot_bytes // row_nbytes))
    return min(bounds, default=None)


def _change(key: bytes, value: bytes | None) -> Change:
    return Change(key, value, 0 if value is None else row_hash(key, value))
