"""The recommendations of one partition against the events that they answer."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np

from metarec_stream.config import Settings
from metarec_stream.contract.codec import content_type_of, decode_recommendation
from metarec_stream.contract.recommendation import recommendation_id
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Rejected
from metarec_stream.hashing import hash64
from metarec_stream.verify.acceptance import Fate, Outcome
from metarec_stream.verify.certificate import Found

NONE_LEFT = 1 << 62
_ANSWERED = -1


class Answers:
    """Reads all answers, then meets the input's records in order; 24 bytes for each answer."""

    def __init__(self, settings: Settings, found: Found, hole: bool) -> None:
        """`hole`: whether the topic no longer begins with its first record."""
        self._settings = settings
        self._found = found
        self._topic = settings.topics.recommendations
        self._input = settings.topics.interactions
        self._hole = hole
        self._every_event = settings.emit == "per_event" and not settings.output.latest
        self._read_at, self._source, self._user = array("q"), array("q"), array("Q")
        self._next = 0
        self._last: dict[str, int] = {}
        """By user the last event below the committed offset, or that it is answered."""
        self.promised_from = 0
        """Answers below this offset of the input may be gone by retention."""

    def read(self, records: Iterable[Record]) -> None:
        """Take the topic's records: each well formed, none twice."""
        for record in records:
            if record.value is not None:
                self._found.answers += 1
                self._take(record)
        order = np.lexsort((self._read_at, self._source))
        self._source = array("q", np.array(self._source, np.int64)[order].tobytes())
        self._read_at = array("q", np.array(self._read_at, np.int64)[order].tobytes())
        self._user = array("Q", np.array(self._user, np.uint64)[order].tobytes())
        if self._hole:
            self.promised_from = self._source[0] if self._source else NONE_LEFT
        self._find_repeated()

    def meet(self, record: Record, outcome: Outcome, refused: bool) -> None:
        """The next record of the input; `refused`: a dead letter stands in place of its answer."""
        self._pass_invented(record.offset)
        answer = self._answer_to(record.offset)
        if answer is None:
            self._miss(record, outcome, refused)
            return
        said = outcome.interaction
        if refused or outcome.fate not in (Fate.ACCEPTED, Fate.UNDECIDED):
            why = "a refused" if refused else f"a {outcome.fate.name.lower()}"
            text = f"it answers {why} record, offset {record.offset} of the input"
            self._differ("answer-invented", text, self._read_at[answer])
        elif said is not None and self._user[answer] != hash64(said.user):
            text = f"it is for another user than offset {record.offset} of the input"
            self._differ("answer-wrong", text, self._read_at[answer])
        if said is not None and self._is_asked(record.offset):
            self._found.answers_required += self._every_event and outcome.fate is Fate.ACCEPTED
            self._last[said.user] = _ANSWERED

    def finish(self) -> None:
        """The input has ended."""
        self._pass_invented(NONE_LEFT)
        if not self._every_event:
            self._found.answers_required = len(self._last)
        for offset in sorted(set(self._last.values()) - {_ANSWERED}):
            text = "the last event of its user below the committed offset has no recommendation"
            self._found.differ("answer-missing", self._input, text, offset)

    def _take(self, record: Record) -> None:
        try:
            answer = decode_recommendation(record.value or b"", content_type_of(record.headers))
        except Rejected as rejected:
            self._differ("answer-unreadable", f"no recommendation: {rejected}", record.offset)
            return
        source = answer.source
        if (source.topic, source.partition) != (self._input, record.partition):
            text = f"its source is {source.topic}/{source.partition}, not {self._input}"
            self._differ("answer-wrong", f"{text}/{record.partition}", record.offset)
            return
        rec_id = recommendation_id(source.topic, source.partition, source.offset)
        if answer.rec_id != rec_id:
            text = f"its rec_id is {ascii(answer.rec_id)[:80]}, expected {rec_id!r}"
            self._differ("answer-wrong", text, record.offset)
        if record.key != answer.user.encode():
            self._differ("answer-wrong", "its key is not its user", record.offset)
        self._read_at.append(record.offset)
        self._source.append(source.offset)
        self._user.append(hash64(answer.user))

    def _find_repeated(self) -> None:
        """Answers to one record lie side by side now, the first one first."""
        sources = np.array(self._source, np.int64)
        again = np.flatnonzero(sources[1:] == sources[:-1]) + 1
        self._found.answered = len(sources) - len(again)
        if self._settings.kafka.guarantee == "at-least-once":
            self._found.repeated += len(again)
            return
        for place in again[np.argsort(np.array(self._read_at, np.int64)[again])].tolist():
            text = f"a second recommendation for offset {self._source[place]} of the input"
            self._differ("answer-twice", text, self._read_at[place])

    def _pass_invented(self, offset: int) -> None:
        """Answers to what is no record of the input, up to an offset."""
        while self._next < len(self._source) and self._source[self._next] < offset:
            source = self._source[self._next]
            if source >= self._found.input_first:
                text = f"it answers offset {source} of the input, where there is no record"
                self._differ("answer-invented", text, self._read_at[self._next])
            self._next += 1

    def _answer_to(self, offset: int) -> int | None:
        """The place of the first answer to a record; passes all of them."""
        first = self._next
        while self._next < len(self._source) and self._source[self._next] == offset:
            self._next += 1
        return first if self._next > first else None

    def _is_asked(self, offset: int) -> bool:
        """Whether answers to this offset of the input are there, if any was given."""
        return self.promised_from <= offset < self._found.committed

    def _miss(self, record: Record, outcome: Outcome, refused: bool) -> None:
        """No answer to this record: is one promised?"""
        said = outcome.interaction
        if said is None or outcome.fate is not Fate.ACCEPTED or not self._is_asked(record.offset):
            return
        if refused:
            self._last[said.user] = _ANSWERED
        elif not self._every_event:
            self._last[said.user] = record.offset
        else:
            self._found.answers_required += 1
            text = "this accepted event has no recommendation"
            self._found.differ("answer-missing", self._input, text, record.offset)

    def _differ(self, kind: str, text: str, offset: int) -> None:
        self._found.differ(kind, self._topic, text, offset)
