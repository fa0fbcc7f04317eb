"""A partition's hard state out of its changelog, checked against what the header says of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metarec_stream.catalogue.items import UNKNOWN, Items, make_known
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Degraded
from metarec_stream.hashing import hash64
from metarec_stream.pipeline.hard_state import HardState, Progress, Rows
from metarec_stream.state.digest import Digest, row_hash
from metarec_stream.state.header import (
    HEADER_KEY,
    SEGMENT_KEY,
    Header,
    decode_header,
    decode_segment,
    segment_key,
)
from metarec_stream.state.row import USER_KEY, UserRow, decode_row, user_key
from metarec_stream.state.row_columns import put_rows

_HALF = (1 << 64) - 1


class Restore:
    """Takes the changelog's records in order; of each key the last one counts."""

    def __init__(self, hard: HardState, items: Items, partition: int) -> None:
        self._hard = hard
        self._items = items
        self._partition = partition
        self._types = {name: number for number, name in enumerate(hard.settings.events.table())}
        self._where = f"{hard.settings.topics.state}/{partition}"
        self._digest = Digest()
        self._header: bytes | None = None
        self._segments: dict[int, tuple[bytes, int]] = {}
        self._damaged: dict[bytes, str] = {}
        self.rows = 0
        """Rows of users read so far."""

    def take(self, records: Sequence[Record]) -> None:
        """Apply these; what is damaged is noted, for a later record may stand for it.

        Raises Fatal for what a later release wrote.
        """
        newest = {record.key or b"": record for record in records}
        read: list[tuple[str, UserRow, int]] = []
        for key, record in newest.items():
            self._damaged.pop(key, None)
            try:
                self._apply(key, record.value, read)
            except (Degraded, UnicodeDecodeError, ValueError) as error:
                self._damaged[key] = f"{self._where} at offset {record.offset}: {error}"
        if read:
            self._put_rows(read)

    def finish(self) -> Header | None:
        """The header, once everything was taken; None if the changelog is empty.

        Raises Degraded if anything is damaged, missing or does not fit the header's digest.
        """
        if self._damaged:
            raise Degraded(next(iter(self._damaged.values())))
        users = self._hard.users.count(self._partition)
        if self._header is None:
            if users or self._segments:
                raise Degraded(f"{self._where} has rows and no header")
            return None
        header = decode_header(self._header, self._where)
        self._check("users", users, header.users)
        self._check("guard segments", len(self._segments), header.segments)
        self._check("digest", self._digest.to_bytes().hex(), header.digest.hex())
        self._put(header)
        return header

    def salvage(self) -> None:
        """Keep what could be read, where nothing better can be had; all of it is written again."""
        hard, partition = self._hard, self._partition
        try:
            self._put(decode_header(self._header or b"", self._where))
        except Degraded:
            hard.progress[partition] = self._progress(self._first_after_rows())
        progress = hard.progress[partition]
        progress.damaged, progress.written, progress.written_ids = True, 0, 0
        progress.leftover = set(self._damaged)
        hard.users.marks.dirty[hard.users.rows(partition)] = True

    def keys(self) -> set[bytes]:
        """All keys that the changelog holds, the header's left out."""
        users = self._hard.users
        rows = users.rows(self._partition).tolist()
        known = {user_key(users.names[row]) for row in rows}
        return known | {segment_key(number) for number in self._segments} | set(self._damaged)

    def _first_after_rows(self) -> int:
        """Without a header: what no row holds yet begins here."""
        upto = self._hard.users.marks.upto[self._hard.users.rows(self._partition)]
        return int(upto.max(initial=-1)) + 1

    def _apply(self, key: bytes, value: bytes | None, read: list[tuple[str, UserRow, int]]) -> None:
        """Rows of users go to `read`, each with its hash: they are put in together."""
        if key == HEADER_KEY:
            self._header = value
        elif key[:1] == SEGMENT_KEY:
            self._apply_segment(int(key[1:]), key, value)
        elif key[:1] == USER_KEY:
            user = key[1:].decode()
            self._forget(user)
            if value is not None:
                # The message is logged: users are not named in clear there.
                row = decode_row(value, f"{self._where}, the user of hash {hash64(user):016x}")
                read.append((user, row, row_hash(key, value)))
        elif value is not None:
            raise Degraded(f"a key of {len(key)} bytes is none of ours")

    def _apply_segment(self, number: int, key: bytes, value: bytes | None) -> None:
        _, old = self._segments.pop(number, (b"", 0))
        if value is not None:
            decode_segment(value, self._where)
            self._segments[number] = (value, row_hash(key, value))
        self._digest.replace(old, self._segments.get(number, (b"", 0))[1])

    def _put_rows(self, read: list[tuple[str, UserRow, int]]) -> None:
        users = self._hard.users
        numbers = users.new_rows(self._partition, (user for user, _, _ in read))
        rows, hashes = [row for _, row, _ in read], [hashed for _, _, hashed in read]
        put_rows(rows, users.rings, numbers, self._items.numbers_of, self._types)
        halves = [(hashed & _HALF, hashed >> 64) for hashed in hashes]
        users.marks.hash[numbers] = np.array(halves, np.uint64)
        users.marks.upto[numbers] = [row.upto for row in rows]
        self._digest.replace(0, sum(hashes))
        self._meet(numbers)
        self.rows += len(rows)

    def _forget(self, user: str) -> None:
        number = self._hard.users.find(self._partition, user)
        if number is not None:
            low, high = self._hard.users.marks.hash[number].tolist()
            self._digest.replace(low | high << 64, 0)
            self._hard.users.remove([number])

    def _meet(self, numbers: Rows) -> None:
        """What somebody had to do with may be recommended."""
        rings, availability = self._hard.users.rings, self._items.availability
        used = np.arange(rings.item.shape[1]) < rings.length[numbers, None]
        met = np.unique(rings.item[numbers][used])
        for item in met[availability.status[met] == UNKNOWN].tolist():
            make_known(availability, item)

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
