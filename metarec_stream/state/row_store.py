"""Rows of the changelog on the local disk: a compacted copy of it, which may be deleted any time.

Of each partition it holds the newest value of every key of the changelog up to an offset, and a
mark that says which offset that is. Changes and their mark are written in one piece. Where users
have a lifetime, it also holds by the part of time that their newest event is in who they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from struct import pack
from typing import Any, NamedTuple

import msgspec
import structlog
from rocksdict import (
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    CompactOptions,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
)

from metarec_stream.errors import Degraded, Fatal
from metarec_stream.state.digest import DIGEST_BYTES, row_hash
from metarec_stream.state.lifetime import Lifetime
from metarec_stream.state.row import USER_KEY, last_ms_of

STORE_VERSION = 2
SLICE = 500
"""Rows that `scan` hands out at once."""
_BLOCK_CACHE_BYTES = 8 << 20
_WRITE_BUFFER_BYTES = 8 << 20
_FILE_BYTES = 8 << 20
_OPEN_FILES = 64
_BLOOM_BITS = 10
_KEY_HASH_BYTES = 16
_LENGTH_BYTES = 2
_MARK, _ROW, _TIME = b"m", b"r", b"t"
_EVEN_EARLIER = 1 << 63
"""Added to the number of a part of time, so that those before 1970 sort before the others."""
_SIZES = ("rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables")
_MOST_SLOTS = 64
_LEAST_FREE_BYTES = 64 << 20


log = structlog.get_logger()


class StoreFailed(Degraded):
    """The disk cannot be written or read, or what was read is not what was written."""


class InUse(Fatal):
    """Another process has the folder."""


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """What a partition's rows add up to."""

    version: int
    offset: int
    """The changelog below this offset is in the rows; what is above it may be."""
    users: int
    digest: bytes
    """16 bytes, as a header has it: of rows of users and segments."""
    part_ms: int = 0
    """Length of the parts of time that users are kept by; 0 if they are not."""


class StoredRow(NamedTuple):
    """A record of the changelog, and its hash; the hash is not read off the value."""

    key: bytes
    value: bytes
    hash: int


class Change(NamedTuple):
    """A record of the changelog that goes in, or, without value, out."""

    key: bytes
    value: bytes | None
    hash: int = 0


class RowStore:
    """RocksDB in a folder of its own; every method but `close` raises StoreFailed.

    Keys are hashes: RocksDB writes some keys into files that an erasure does not rewrite. A value
    is the row's hash, the changelog's key, and the changelog's value, byte for byte.
    """

    def __init__(self, folder: Path, lifetime: Lifetime | None = None) -> None:
        """Raises InUse if another process has it, Fatal if it cannot be made."""
        self.folder = folder
        self._lifetime = lifetime
        self._database: Rdict | None = _opened(folder)

    def mark(self, partition: int) -> Mark | None:
        """None if there is none that this release can read, or one of another lifetime."""
        with self._failing("reading"):
            content = self._rocks.get(_mark_key(partition))
        try:
            mark = None if content is None else msgspec.msgpack.decode(content, type=Mark)
        except msgspec.MsgspecError:
            return None
        if mark is None or mark.version != STORE_VERSION:
            return None
        return mark if mark.part_ms == self._part_ms else None

    def get(self, wanted: Sequence[tuple[int, bytes]]) -> list[StoredRow | None]:
        """The rows of these partitions and keys, in one read; None for those that are not there."""
        places: list[Any] = [_row_key(partition, key) for partition, key in wanted]
        with self._failing("reading"):
            contents: list[bytes | None] = self._rocks.get(places) or []
        rows = [None if content is None else self._checked(content) for content in contents]
        for (_, key), row in zip(wanted, rows, strict=True):
            if row is not None and row.key != key:
                raise StoreFailed(f"{self.folder} holds another user's row in place of one")
        return rows

    def write(
        self,
        partition: int,
        changes: Sequence[Change],
        mark: Mark,
        expired_below: int | None = None,
    ) -> None:
        """All of these and the mark, or nothing.

        `expired_below`: nobody is left whose newest event is before this time, ms.
        """
        batch = WriteBatch(raw_mode=True)
        for change in changes:
            place = _row_key(partition, change.key)
            if change.value is None:
                batch.delete(place)
            else:
                batch.put(place, _content(change.key, change.value, change.hash))
                if self._lifetime is not None and change.key[:1] == USER_KEY:
                    part = self._lifetime.part(last_ms_of(change.value))
                    batch.put(_time_key(partition, part) + place[-_KEY_HASH_BYTES:], b"")
        if self._lifetime is not None and expired_below is not None:
            end = _time_key(partition, self._lifetime.part(expired_below))
            batch.delete_range(_first_time_of(partition), end)
        mark = msgspec.structs.replace(mark, part_ms=self._part_ms)
        batch.put(_mark_key(partition), msgspec.msgpack.encode(mark))
        with self._failing("writing"):
            self._rocks.write(batch)

    def scan(self, partition: int) -> Iterator[list[StoredRow]]:
        """All rows of a partition, in slices, each checked against its hash."""
        found: list[StoredRow] = []
        end = _first_of(partition + 1)
        with self._failing("reading"):
            rows: Any = self._rocks.iter()
            rows.seek(_first_of(partition))
            while rows.valid() and rows.key() < end:
                found.append(self._checked(rows.value()))
                rows.next()
                if len(found) == SLICE:
                    yield found
                    found = []
            # A block that cannot be read ends it like the last row; this says so.
            rows.status()
        yield found

    def expired(self, partition: int, limit: int) -> Iterator[list[StoredRow]]:
        """The rows whose newest event is before `limit` (ms), in slices, each checked.

        A row may be in several slices.
        """
        if self._lifetime is None:
            return
        end = _time_key(partition, self._lifetime.part(limit))
        with self._failing("reading"):
            places: Any = self._rocks.iter()
            places.seek(_first_time_of(partition))
            while places.valid() and places.key() < end:
                found: list[bytes] = []
                while places.valid() and places.key() < end and len(found) < SLICE:
                    found.append(_first_of(partition) + places.key()[-_KEY_HASH_BYTES:])
                    places.next()
                contents: Any = self._rocks.get(list(dict.fromkeys(found)))
                rows = [self._checked(each) for each in contents if each is not None]
                # Who has had a newer event since stands under a later part as well.
                yield [row for row in rows if last_ms_of(row.value) < limit]
            places.status()

    def drop(self, partition: int) -> None:
        """Forget a partition, mark first; its bytes are gone from the disk."""
        first, end = _first_of(partition), _first_of(partition + 1)
        with self._failing("writing"):
            self._rocks.delete(_mark_key(partition))
            self._rocks.delete_range(_first_time_of(partition), _first_time_of(partition + 1))
            self._rocks.delete_range(first, end)
            self._compact(first, end)

    def purge(self, partition: int, keys: Sequence[bytes]) -> None:
        """What these keys ever held is gone from the disk: files that held it are written anew."""
        places = sorted(_row_key(partition, key) for key in keys)
        if places:
            with self._failing("writing"):
                self._compact(places[0], places[-1] + b"\0")

    def nbytes(self) -> int:
        """Bytes of its tables, those in memory included."""
        return sum(self._rocks.property_int_value(each) or 0 for each in _SIZES)

    def check_room(self) -> None:
        """Raises StoreFailed where there is too little to go on. A folder that is gone is made."""
        with self._failing("making"):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
        if free < _LEAST_FREE_BYTES:
            raise StoreFailed(f"only {free} bytes are free where {self.folder} is")

    def reopen(self) -> None:
        """RocksDB takes no more writes after one has failed: it is given back and opened again."""
        self.close()
        with self._failing("opening"):
            self._database = Rdict(str(self.folder), _options())

    def close(self) -> None:
        """Give the folder back. What a failed write has left undone is said once more, in vain."""
        try:
            with self._failing("closing"):
                self._rocks.close()
        except StoreFailed as error:
            log.warning("users_on_disk_not_flushed", reason=str(error))
        # The last reference to it: where closing failed, this is what gives the folder back.
        self._database = None

    @property
    def _part_ms(self) -> int:
        return 0 if self._lifetime is None else self._lifetime.part_ms

    @property
    def _rocks(self) -> Rdict:
        if self._database is None:
            raise StoreFailed(f"{self.folder} is closed")
        return self._database

    def _compact(self, first: bytes, end: bytes) -> None:
        self._rocks.flush()
        options = CompactOptions()
        options.set_bottommost_level_compaction(BottommostLevelCompaction.force())
        self._rocks.compact_range(first, end, options)

    def _checked(self, content: bytes) -> StoredRow:
        hashed = int.from_bytes(content[:DIGEST_BYTES], "little")
        start = DIGEST_BYTES + _LENGTH_BYTES
        middle = start + int.from_bytes(content[DIGEST_BYTES:start], "little")
        key, value = content[start:middle], content[middle:]
        if row_hash(key, value) != hashed:
            raise StoreFailed(f"a row in {self.folder} is damaged: its hash differs")
        return StoredRow(key, value, hashed)

    @contextmanager
    def _failing(self, doing: str) -> Iterator[None]:
        try:
            yield
        except StoreFailed:
            raise
        except Exception as error:  # the library raises nothing narrower
            raise StoreFailed(f"{doing} {self.folder} failed: {error}") from error


def open_row_store(
    folder: Path, instance_id: str | None, lifetime: Lifetime | None = None
) -> RowStore:
    """The store of a process, in a subfolder: by its `instance_id`, else the first free slot.

    Raises InUse if another process has it, Fatal if it cannot be made.
    """
    if instance_id is not None:
        return RowStore(folder / instance_id, lifetime)
    for slot in range(_MOST_SLOTS):
        try:
            return RowStore(folder / f"slot-{slot}", lifetime)
        except InUse:
            continue
    raise Fatal(f"all {_MOST_SLOTS} slots in {folder} are in use: set another state.folder")


def _opened(folder: Path) -> Rdict:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Rdict(str(folder), _options())
    except Exception as error:  # the library raises nothing narrower
        if "/LOCK" in str(error):
            raise InUse(
                f"another process has {folder} ({error}): give each process its own instance_id "
                "or state.folder, then start this one again"
            ) from error
        if not (folder / "CURRENT").exists():
            raise _unusable(folder, error) from error
    return _made_anew(folder)


def _made_anew(folder: Path) -> Rdict:
    """It is a cache: one that cannot be opened is deleted."""
    try:
        Rdict.destroy(str(folder), _options())
        return Rdict(str(folder), _options())
    except Exception as error:  # the library raises nothing narrower
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: Exception) -> Fatal:
    return Fatal(
        f"{folder} cannot hold cold users ({error}): make room or set METAREC_STATE__FOLDER to a "
        "folder that can be written, then start this process again"
    )


def _options() -> Options:
    """Memory of a fixed size: two write buffers and a block cache that holds the indexes too."""
    table = BlockBasedOptions()
    table.set_block_cache(Cache(_BLOCK_CACHE_BYTES))
    table.set_cache_index_and_filter_blocks(True)
    table.set_bloom_filter(_BLOOM_BITS, False)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_target_file_size_base(_FILE_BYTES)
    options.set_max_open_files(_OPEN_FILES)
    options.set_keep_log_file_num(2)
    options.set_stats_dump_period_sec(0)
    return options


def _mark_key(partition: int) -> bytes:
    return _MARK + pack(">I", partition)


def _first_of(partition: int) -> bytes:
    return _ROW + pack(">I", partition)


def _first_time_of(partition: int) -> bytes:
    return _TIME + pack(">I", partition)


def _time_key(partition: int, part: int) -> bytes:
    return _first_time_of(partition) + pack(">Q", part + _EVEN_EARLIER)


def _row_key(partition: int, key: bytes) -> bytes:
    return _first_of(partition) + blake2b(key, digest_size=_KEY_HASH_BYTES).digest()


def _content(key: bytes, value: bytes, hashed: int) -> bytes:
    return b"".join(
        (
            hashed.to_bytes(DIGEST_BYTES, "little"),
            len(key).to_bytes(_LENGTH_BYTES, "little"),
            key,
            value,
        )
    )
