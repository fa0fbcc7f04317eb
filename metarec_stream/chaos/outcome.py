"""What came of one fault: the certificate's verdict, in numbers for the matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from metarec_stream.verify.certificate import Certificate, Found

Verdict = Literal["certified", "degraded", "different", "failed"]

_LOST = ("answer-missing", "letter-missing")
_DOUBLED = ("answer-twice", "letter-twice")
_STATE = ("row", "header")


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Longest silences after the fault, seconds; absent where there was nothing to measure."""

    harmed_s: float | None = None
    """On the partitions that the fault came to."""
    moved_s: float | None = None
    """On those that it did not come to, and that got another owner for it."""
    others_s: float | None = None
    """On those that kept their owner."""
    by_partition: dict[int, float | None] = {}
    harmed: list[int] = []
    moved: list[int] = []


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the fault matrix."""

    fault: str
    what: str
    victim: int
    crash_at: str
    expected: str
    verdict: Verdict
    """`failed`: it did not come to a certificate; the note says why."""
    events: int = 0
    """Records of the input."""
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    lost: int | None = None
    """Records without the answer or the dead letter that they ask for; absent if not compared."""
    learned_twice: int | None = None
    """Rows and counts of the state that are not what the input makes; absent if not compared."""
    output_duplicates: int | None = None
    """Answers and dead letters that came again; absent if not compared."""
    timing: Timing = Timing()
    seconds: float = 0.0
    """Wall clock of the whole trial."""
    ended: list[str] = []
    """Processes that ended during it, with their statuses, in order."""
    warned: dict[str, int] = {}
    """What consumers logged of damage that they found."""
    note: str = ""
    """The first difference, what could not be compared, or why there is no certificate."""

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the expected one."""
        return self.verdict == self.expected


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate says, in the matrix's terms; its fields are those of Outcome."""

    verdict: Verdict
    events: int
    accepted: int
    rejected: int
    duplicates: int
    lost: int
    learned_twice: int | None
    output_duplicates: int
    note: str


def counts_of(certificate: Certificate) -> Counts:
    """The numbers of a certificate.

    The state counts as compared where every partition has a checkpoint and its whole input. Each
    partition names 20 differences: where there are more, the numbers are lower bounds.
    """
    partitions = certificate.partitions
    kinds = [difference.kind for found in partitions for difference in found.differences]
    compared = all(found.state_offset is not None and found.digest for found in partitions)
    return Counts(
        verdict=certificate.verdict,
        events=sum(found.input_end for found in partitions),
        accepted=sum(found.accepted for found in partitions),
        rejected=sum(found.rejected for found in partitions),
        duplicates=sum(found.duplicates for found in partitions),
        lost=_number_of(kinds, _LOST),
        learned_twice=_number_of(kinds, _STATE) if compared else None,
        output_duplicates=_number_of(kinds, _DOUBLED) + sum(each.repeated for each in partitions),
        note=_note(certificate, partitions),
    )


def _number_of(kinds: Iterable[str], prefixes: tuple[str, ...]) -> int:
    return sum(kind.startswith(prefixes) for kind in kinds)


def _note(certificate: Certificate, partitions: Iterable[Found]) -> str:
    first = certificate.first_difference
    if first is None:
        return "; ".join(certificate.degraded)
    count = sum(len(found.differences) + found.differences_more for found in partitions)
    return f"{count} differences, the first: {first}"
