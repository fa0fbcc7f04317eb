"""Names of record headers that are not UTF-8: read as they are, and sent on byte for byte.

kafka-python 3.0.12 raises for them from poll(), names no offset, and raises again whenever the
record is read: one such record would hold its partition up for ever. Other clients can write it:
to the brokers a name is bytes.
"""

from __future__ import annotations

from typing import Any, Self

from kafka.record.default_records import DefaultRecordBatch


class HeaderName(str):
    """Text that can be shown, of bytes that are no text; `encode` gives the bytes back."""

    __slots__ = ("_bytes",)

    _bytes: bytes

    @classmethod
    def of(cls, content: bytes) -> Self:
        """The bytes that are no UTF-8 are shown as escapes."""
        name = cls(bytes(content).decode("utf-8", "backslashreplace"))
        name._bytes = bytes(content)
        return name

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The bytes that it was made of, in whichever encoding."""
        return self._bytes


class _Lenient(bytearray):
    """A batch's bytes, of which every slice can be decoded."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Lenient(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        try:
            return super().decode(encoding, errors)
        except UnicodeDecodeError:
            return HeaderName.of(bytes(self))


def read_any_header_name() -> None:
    """From now on the library reads such records; may be called again."""
    if DefaultRecordBatch._read_msg is not _read_leniently:
        DefaultRecordBatch._read_msg = _read_leniently


_read = DefaultRecordBatch._read_msg


def _read_leniently(batch: Any) -> Any:
    try:
        return _read(batch)
    except UnicodeDecodeError:
        # The batch's position moves only once a record is read.
        strict = batch._buffer
        batch._buffer = _Lenient(strict)
        try:
            return _read(batch)
        finally:
            batch._buffer = strict
