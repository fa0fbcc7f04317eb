"""A partition's hard state out of its changelog, checked against what the header says of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import structlog

from metarec_stream.contract.transport import Record
from metarec_stream.errors import Degraded
from metarec_stream.pipeline.hard_state import HardState, Progress
from metarec_stream.pipeline.read_rows import ReadRow, read_row
from metarec_stream.pipeline.restored_rows import RestoredRows
from metarec_stream.state.digest import Digest, row_hash
from metarec_stream.state.header import (
    HEADER_KEY,
    SEGMENT_KEY,
    Header,
    decode_header,
    decode_segment,
    segment_key,
)
from metarec_stream.state.row import USER_KEY
from metarec_stream.state.row_store import StoredRow

log = structlog.get_logger()

_UNREADABLE = (Degraded, UnicodeDecodeError, ValueError)


class Restore:
    """Takes the changelog's records in order; of each key the last one counts."""

    def __init__(self, hard: HardState, rows: RestoredRows, partition: int) -> None:
        self._hard = hard
        self._users = rows
        self._partition = partition
        self._where = f"{hard.settings.topics.state}/{partition}"
        self.rows = 0
        """Rows of users read so far, from the changelog."""
        self._begin()

    def _begin(self) -> None:
        self._digest = Digest()
        self._header: bytes | None = None
        self._goes_on = True
        """Whether a header was read from the changelog, if anything is from the disk."""
        self._segments: dict[int, tuple[bytes, int]] = {}
        self._damaged: dict[bytes, str] = {}

    def take_stored(self) -> Generator[bool, None, int | None]:
        """What the disk holds, in slices; returns the offset at which the changelog goes on.

        Yields True: there is nothing to wait for. Returns None where the disk holds nothing, or
        not what was written there, which is deleted. The last record of the changelog that the
        disk holds is read once more.
        """
        mark = self._users.mark()
        if mark is None:
            self._users.clear()
            return None
        try:
            for stored in self._users.stored():
                self._take_stored(stored)
                yield True
            self._check("users on disk", self._users.count(), mark.users)
            self._check("digest on disk", self._digest.to_bytes().hex(), mark.digest.hex())
        except _UNREADABLE as error:
            log.warning("users_on_disk_dropped", partition=self._partition, reason=str(error))
            self._users.clear()
            self._begin()
            return None
        self._goes_on = False
        return max(0, mark.offset - 1)

    def take(self, records: Sequence[Record]) -> None:
        """Apply these; what is damaged is noted, for a later record may stand for it.

        Raises Fatal for what a later release wrote, StoreFailed where the disk fails.
        """
        if not records:
            return
        newest = {record.key or b"": record for record in records}
        read: list[ReadRow] = []
        hashes: dict[bytes, int] = {}
        for key, record in newest.items():
            self._damaged.pop(key, None)
            try:
                hashes[key] = self._apply(key, record.value, read)
            except _UNREADABLE as error:
                self._damaged[key] = f"{self._where} at offset {record.offset}: {error}"
        users = [key for key in newest if _names_a_user(key)]
        self._digest.replace(self._users.replace(users, read), sum(each.hash for each in read))
        self.rows += len(read)
        self._users.wrote(newest, hashes, records[-1].offset + 1, self._digest)

    def finish(self) -> Header | None:
        """The header, once everything was taken; None if the changelog is empty.

        Raises Degraded if anything is damaged, missing or does not fit the header's digest.
        """
        if self._damaged:
            raise Degraded(next(iter(self._damaged.values())))
        users = self._users.count()
        if self._header is None:
            if users or self._segments:
                raise Degraded(f"{self._where} has rows and no header")
            return None
        header = decode_header(self._header, self._where)
        self._check("users", users, header.users)
        self._check("guard segments", len(self._segments), header.segments)
        self._check("digest", self._digest.to_bytes().hex(), header.digest.hex())
        if not self._goes_on:
            raise Degraded(f"{self._where} is not the one that the disk holds rows of")
        self._put(header)
        self._users.finish()
        return header

    def salvage(self) -> None:
        """Keep what could be read, where nothing better can be had; all of it is written again."""
        hard, partition = self._hard, self._partition
        try:
            self._put(decode_header(self._header or b"", self._where))
        except Degraded:
            hard.progress[partition] = self._progress(self._users.highest_upto() + 1)
        progress = hard.progress[partition]
        progress.damaged, progress.written, progress.written_ids = True, 0, 0
        progress.leftover = set(self._damaged)
        self._users.rewrite()
        self._users.finish()

    def keys(self) -> set[bytes]:
        """All keys that the changelog holds, the header's left out."""
        segments = {segment_key(number) for number in self._segments}
        return self._users.keys() | segments | set(self._damaged)

    def _take_stored(self, stored: Sequence[StoredRow]) -> None:
        read: list[ReadRow] = []
        for each in stored:
            self._apply(each.key, each.value, read)
        self._users.meet(read)
        self._digest.replace(0, sum(each.hash for each in read))

    def _apply(self, key: bytes, value: bytes | None, read: list[ReadRow]) -> int:
        """Returns the record's hash. Rows of users go to `read`: they are put in together."""
        if key == HEADER_KEY:
            self._header, self._goes_on = value, True
        elif key[:1] == SEGMENT_KEY:
            return self._apply_segment(int(key[1:]), key, value)
        elif key[:1] != USER_KEY:
            if value is not None:
                raise Degraded(f"a key of {len(key)} bytes is none of ours")
        elif value is not None:
            read.append(read_row(key, value, self._where))
            return read[-1].hash
        return 0 if value is None else row_hash(key, value)

    def _apply_segment(self, number: int, key: bytes, value: bytes | None) -> int:
        _, old = self._segments.pop(number, (b"", 0))
        self._digest.replace(old, 0)
        if value is None:
            return 0
        decode_segment(value, self._where)
        hashed = row_hash(key, value)
        self._segments[number] = (value, hashed)
        self._digest.replace(0, hashed)
        return hashed

    def _check(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            raise Degraded(
                f"the state in {self._where} is not what its header says: {what} {found}, "
                f"expected {expected}"
            )

    def _put(self, header: Header) -> None:
        """The guard, and how far everything is."""
        guard = self._hard.guards[self._partition]
        segments = {at: decode_segment(each, "") for at, (each, _) in self._segments.items()}
        guard.event_ids.restore(header.first_id, header.next_id, segments)
        guard.count(header.accepted, header.rejected, header.duplicates, header.watermark)
        progress = self._progress(header.offset)
        progress.written_ids = header.next_id
        progress.missing, progress.damaged = header.missing, header.damaged
        self._hard.progress[self._partition] = progress

    def _progress(self, offset: int) -> Progress:
        return Progress(
            offset=offset,
            written=offset,
            segments={at: hashed for at, (_, hashed) in self._segments.items()},
            digest=self._digest,
        )


def _names_a_user(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return key[:1] == USER_KEY
