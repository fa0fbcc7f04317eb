"""The dead letters of one partition against the records that were rejected."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Headers, Record
from metarec_stream.dead_letters.letter import content_of, letter_of
from metarec_stream.errors import Degraded, Reason
from metarec_stream.verify.acceptance import Fate, Outcome
from metarec_stream.verify.certificate import Found

_DECIDED_BY_EARLIER = (Reason.LATE.value,)


class ReadLetter(NamedTuple):
    """What is kept of a dead letter."""

    offset: int
    reason: str
    content: bytes
    """Hash of the rejected record's key, value and headers."""
    emptied: bool


class DeadLetters:
    """Reads all dead letters, then meets the input's records in order."""

    def __init__(self, settings: Settings, found: Found, hole: bool) -> None:
        """`hole`: whether the topic no longer begins with its first record."""
        self._found = found
        self._topic = settings.topics.dead_letters_topic()
        self._input = settings.topics.interactions
        self._may_repeat = settings.kafka.guarantee == "at-least-once"
        self._hole = hole
        self._letters: dict[int, ReadLetter] = {}
        self.promised_from = 0

    def read(self, records: Iterable[Record]) -> None:
        """Take the topic's records: each a letter of this input, none twice."""
        for record in records:
            self._found.dead_letters += 1
            self._take(record)
        if self._hole:
            self.promised_from = min(self._letters, default=1 << 62)

    def meet(self, record: Record, outcome: Outcome) -> bool:
        """The next record of the input; whether a letter stands in place of its answer."""
        letter = self._letters.pop(record.offset, None)
        if letter is None:
            self._miss(record, outcome)
            return False
        same = letter.content == _content(record.key, record.value, record.headers)
        if not same and not letter.emptied:
            self._differ("letter-content", "it is not byte for byte its record", letter.offset)
        refused = letter.reason == Reason.TOO_LARGE.value
        match outcome.fate:
            case Fate.REJECTED:
                self._found.dead_letters_required += record.offset < self._found.committed
                self._compare_reason(record, outcome, letter)
                return False
            case Fate.ACCEPTED if refused:
                self._found.refused += 1
                return True
            case Fate.UNDECIDED if refused or letter.reason in _DECIDED_BY_EARLIER:
                return refused
        text = f"its record, offset {record.offset} of the input, was not rejected"
        self._differ("letter-invented", text, letter.offset)
        return False

    def finish(self) -> None:
        """The input has ended."""
        for source, letter in sorted(self._letters.items()):
            if source >= self._found.input_first:
                text = f"it is of offset {source} of the input, where there is no record"
                self._differ("letter-invented", text, letter.offset)

    def _take(self, record: Record) -> None:
        try:
            letter = letter_of(record)
        except Degraded as error:
            self._differ("letter-unreadable", str(error), record.offset)
            return
        if (letter.source_topic, letter.source_partition) != (self._input, record.partition):
            text = f"it is of {letter.source}, not of {self._input}/{record.partition}"
            self._differ("letter-wrong", text, record.offset)
            return
        if letter.source_offset in self._letters:
            self._repeat(letter.source_offset, record.offset)
            return
        content = _content(letter.key, letter.value, letter.headers)
        self._letters[letter.source_offset] = ReadLetter(
            record.offset, letter.reason, content, letter.emptied
        )

    def _repeat(self, source: int, offset: int) -> None:
        if self._may_repeat:
            self._found.repeated += 1
            return
        text = f"a second dead letter for offset {source} of the input"
        self._differ("letter-twice", text, offset)

    def _miss(self, record: Record, outcome: Outcome) -> None:
        rejected = outcome.fate is Fate.REJECTED
        if rejected and self.promised_from <= record.offset < self._found.committed:
            self._found.dead_letters_required += 1
            reason = outcome.reason.value if outcome.reason else ""
            text = f"this record is rejected ({reason}) and has no dead letter"
            self._found.differ("letter-missing", self._input, text, record.offset)

    def _compare_reason(self, record: Record, outcome: Outcome, letter: ReadLetter) -> None:
        """A letter that could not hold its record says `too-large`, whatever else was wrong."""
        expected = outcome.reason.value if outcome.reason else ""
        if letter.reason != expected and not letter.emptied:
            text = f"it says {letter.reason}, and offset {record.offset} of the input is {expected}"
            self._differ("letter-reason", text, letter.offset)

    def _differ(self, kind: str, text: str, offset: int) -> None:
        self._found.differ(kind, self._topic, text, offset)


def _content(key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    encoded = msgspec.msgpack.encode(content_of(key, value, headers))
    return blake2b(encoded, digest_size=16).digest()
