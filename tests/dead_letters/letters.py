"""Dead letters for tests."""

from __future__ import annotations

from metarec_stream.contract.dead_letter import dead_letter
from metarec_stream.contract.transport import Output
from metarec_stream.dead_letters.letter import Letter, letter_of
from metarec_stream.errors import Reason, Rejected
from metarec_stream.memory.log import MemoryRecord

REJECTED_MS = 1_700_000_000_000
HEADERS = (("content-type", b"application/json"), ("trace", b"\xff\x00"))


def rejected_record(
    value: bytes | None = b'{"user":"ann","item":"a","ts":5}',
    headers: tuple[tuple[str, bytes], ...] = HEADERS,
    key: bytes | None = b"ann",
) -> MemoryRecord:
    """A record of the input."""
    return MemoryRecord("interactions", 1, 40, 5, key, value, headers)


def read_back(output: Output, offset: int = 7) -> Letter:
    """The letter as it is read from its topic."""
    return letter_of(
        MemoryRecord(
            output.topic, output.partition, offset, REJECTED_MS, output.key, output.value,
            output.headers,
        )
    )  # fmt: skip


def letter(
    record: MemoryRecord | None = None,
    reason: Reason = Reason.LATE,
    detail: str = "ts: too late",
    offset: int = 7,
) -> Letter:
    """The dead letter of a record."""
    rejected = Rejected(reason, detail)
    return read_back(dead_letter(record or rejected_record(), rejected, "interactions.dlq"), offset)
