"""The state topic of one partition as it is: of each key the last row, and the header's claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from metarec_stream.contract.transport import Record
from metarec_stream.errors import Degraded, Fatal
from metarec_stream.hashing import hash64
from metarec_stream.state.header import HEADER_KEY, Header, decode_header
from metarec_stream.verify.acceptance import Acceptance
from metarec_stream.verify.certificate import Found
from metarec_stream.verify.expected_state import ExpectedUsers, row_digest

_MODULUS = 1 << 128


class StoredRow(NamedTuple):
    """A row of the changelog, without its bytes."""

    offset: int
    hash: int


class StoredState:
    """Rows and header of one partition of the state topic; keeps hashes, not rows."""

    def __init__(self, topic: str, found: Found, show_users: bool) -> None:
        self._topic = topic
        self._found = found
        self._show_users = show_users
        self._rows: dict[bytes, StoredRow] = {}
        self._header_at: int | None = None
        self.header: Header | None = None

    def read(self, records: Iterable[Record]) -> None:
        """Take the topic's records; raises Fatal for a header that a later release wrote."""
        header = None
        for record in records:
            key, value = record.key or b"", record.value
            if key == HEADER_KEY:
                header, self._header_at = value, record.offset
            elif value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = StoredRow(record.offset, row_digest(key, value))
        self._found.users = sum(key[:1] == b"u" for key in self._rows)
        self._read_header(header)

    @property
    def empty(self) -> bool:
        """Whether nothing was ever checkpointed."""
        return self.header is None and not self._rows

    def compare(self, users: ExpectedUsers, acceptance: Acceptance) -> None:
        """All rows and the header against the state that the input makes, at the header's offset.

        Forgets the rows: called once.
        """
        header, digest, count = self._claims(), 0, len(users)
        for name, upto, row in users.rows():
            digest += self._compare_row(b"u" + name.encode(), row, upto)
        segments = acceptance.ids.rows()
        for key, value in segments.items():
            digest += self._compare_row(key, value, header.offset - 1)
        for key, extra in sorted(self._rows.items(), key=lambda each: each[1].offset):
            self._differ("row-invented", f"{self._named(key)} belongs to nothing", extra.offset)
        expected_digest = (digest % _MODULUS).to_bytes(16, "little")
        self._found.digest = expected_digest.hex()
        self._compare_header(
            {
                "accepted": acceptance.accepted,
                "rejected": acceptance.rejected,
                "duplicates": acceptance.duplicates,
                "watermark": acceptance.watermark,
                "first_id": acceptance.ids.first,
                "next_id": acceptance.ids.next,
                "users": count,
                "segments": len(segments),
                "digest": expected_digest,
            }
        )

    def compare_with_itself(self) -> None:
        """What can be said without the input's beginning: the rows make the header's digest."""
        keys = [key[:1] for key in self._rows]
        digest = sum(row.hash for row in self._rows.values()) % _MODULUS
        self._compare_header(
            {
                "users": keys.count(b"u"),
                "segments": keys.count(b"g"),
                "digest": digest.to_bytes(16, "little"),
            }
        )

    def _claims(self) -> Header:
        if self.header is None:
            raise Fatal("a state without a header was to be compared; this is a fault of ours")
        return self.header

    def _read_header(self, value: bytes | None) -> None:
        where = f"{self._topic}/{self._found.partition}"
        if value is not None:
            try:
                self.header = decode_header(value, where)
            except Degraded as error:
                self._differ("header", str(error), self._header_at)
        elif self._rows:
            self._differ("header", "there are rows and no header", self._header_at)

    def _compare_row(self, key: bytes, value: bytes, upto: int) -> int:
        """Returns the expected row's hash."""
        expected, stored = row_digest(key, value), self._rows.pop(key, None)
        if stored is None:
            text = f"{self._named(key)} is missing; its last record is offset {upto} of the input"
            self._differ("row-missing", text, None)
        elif stored.hash != expected:
            text = f"{self._named(key)} is not what the input makes of it up to offset {upto}"
            self._differ("row", text, stored.offset)
        return expected

    def _compare_header(self, expected: Mapping[str, object]) -> None:
        header = self._claims()
        for name, number in expected.items():
            claimed = getattr(header, name)
            if claimed != number:
                text = f"the header says {name} {_shown(claimed)}, expected {_shown(number)}"
                self._differ(f"header-{name}", text, self._header_at)

    def _differ(self, kind: str, text: str, offset: int | None) -> None:
        self._found.differ(kind, self._topic, text, offset)

    def _named(self, key: bytes) -> str:
        if key[:1] != b"u":
            return f"the row {key[:40]!r}"
        return f"the row of {user_shown(key[1:].decode(errors='replace'), self._show_users)}"


def user_shown(user: str, in_clear: bool) -> str:
    """A user in a message: by the id itself, or by its 64-bit hash, hex."""
    return f"user {user!r}" if in_clear else f"user #{hash64(user):016x}"


def _shown(claim: object) -> str:
    return claim.hex() if isinstance(claim, bytes) else str(claim)
