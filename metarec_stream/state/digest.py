"""The digest of a partition's state: equal for equal state, whatever order it is added up in."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

DIGEST_BYTES = 16
_MODULUS = 1 << (8 * DIGEST_BYTES)


def row_hash(key: bytes, value: bytes) -> int:
    """128-bit BLAKE2b of a row of the changelog: its key's length, its key, its value."""
    hashed = blake2b(len(key).to_bytes(4, "little"), digest_size=DIGEST_BYTES)
    hashed.update(key)
    hashed.update(value)
    return int.from_bytes(hashed.digest(), "little")


class Digest:
    """The sum modulo 2^128 of the hashes of a partition's rows and guard segments.

    A row that changes is taken out by its old hash and put in by its new one, so that keeping the
    digest costs nothing for rows that stay. Against chance and damage, not against forgery: sums
    of hashes can be matched on purpose (Wagner 2002).
    """

    __slots__ = ("value",)

    def __init__(self, value: int = 0) -> None:
        self.value = value

    @classmethod
    def of(cls, rows: Iterable[tuple[bytes, bytes]]) -> Digest:
        """The digest of these rows (key, value)."""
        return cls(sum(row_hash(key, value) for key, value in rows) % _MODULUS)

    @classmethod
    def from_bytes(cls, content: bytes) -> Digest:
        """As a header holds it."""
        return cls(int.from_bytes(content, "little"))

    def replace(self, old: int, new: int) -> None:
        """A row's hash changes; 0 stands for a row that is not there."""
        self.value = (self.value - old + new) % _MODULUS

    def to_bytes(self) -> bytes:
        """16 bytes, little-endian."""
        return self.value.to_bytes(DIGEST_BYTES, "little")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"Digest({self.to_bytes().hex()})"
