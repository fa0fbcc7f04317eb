"""What becomes of each record of a partition, by the documented rules, in plain Python.

Written from the contract and docs/verify.md, apart from `pipeline.guard` and `state.event_ids`, so
that a fault there is not repeated here. What is shared is the decoder of interactions.
"""

from __future__ import annotations

import sys
from array import array
from collections import OrderedDict
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from metarec_stream.config import Settings
from metarec_stream.contract.interaction import ERASE, Interaction
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Reason, Rejected
from metarec_stream.hashing import hash64
from metarec_stream.pipeline.decode import Decoder

IDS_PER_SEGMENT = 4_096


class Fate(Enum):
    """What became of a record."""

    ACCEPTED = auto()
    DUPLICATE = auto()
    REJECTED = auto()
    ERASED = auto()
    """It is an `erase`, which is no event: nothing is counted, and its user is forgotten."""
    UNDECIDED = auto()
    """It is well formed; whether it was late or a duplicate, records that are gone would tell."""


class Outcome(NamedTuple):
    """A record's fate, and what it says unless it was rejected."""

    fate: Fate
    interaction: Interaction | None = None
    time: int = 0
    """Event time, ms."""
    reason: Reason | None = None
    """Of a rejected one."""


class Acceptance:
    """Decides over the records of one partition, in order, from its first."""

    def __init__(self, settings: Settings, *, whole: bool = True) -> None:
        """`whole`: whether the records begin with the partition's first; if not, what only the
        earlier ones decide stays undecided.
        """
        self._decoder = Decoder(settings.guard, settings.events)
        self._skew_ms = round(settings.guard.skew_s * 1_000)
        self._lateness_ms = round(settings.guard.lateness_s * 1_000)
        self._whole = whole
        self.ids = RememberedIds(settings.guard.event_ids)
        self.watermark = -1
        self.accepted = 0
        self.rejected = 0
        self.duplicates = 0

    def decide(self, record: Record) -> Outcome:
        """The fate of the next record."""
        outcome = self._outcome(record)
        self.accepted += outcome.fate is Fate.ACCEPTED
        self.rejected += outcome.fate is Fate.REJECTED
        self.duplicates += outcome.fate is Fate.DUPLICATE
        return outcome

    def _outcome(self, record: Record) -> Outcome:
        try:
            interaction = self._decoder.decode(record)
        except Rejected as rejected:
            return Outcome(Fate.REJECTED, reason=rejected.reason)
        if interaction.type == ERASE:
            return Outcome(Fate.ERASED, interaction)
        time = record.timestamp if interaction.ts is None else interaction.ts
        if time - record.timestamp > self._skew_ms:
            return Outcome(Fate.REJECTED, reason=Reason.FUTURE)
        if not self._whole:
            return Outcome(Fate.UNDECIDED, interaction, time)
        oldest = self.watermark - self._lateness_ms
        if time < oldest:
            return Outcome(Fate.REJECTED, reason=Reason.LATE)
        if interaction.event_id:
            name = hash64(f"{interaction.user}\0{interaction.event_id}")
            if self.ids.knows(name, oldest):
                return Outcome(Fate.DUPLICATE, interaction, time)
            self.ids.remember(name, time)
        if time > self.watermark:
            self.watermark = time
            self.ids.forget_before(time - self._lateness_ms)
        return Outcome(Fate.ACCEPTED, interaction, time)


class RememberedIds:
    """The ids by which duplicates are known: numbered as they come, at most `most` of them kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._segments: dict[int, tuple[array[int], array[int]]] = {}
        self.first = 0
        """Numbers below this are forgotten."""
        self.next = 0

    def knows(self, name: int, oldest: int) -> bool:
        """Whether the id is kept with an event time that is not before `oldest`."""
        number_and_time = self._kept.get(name)
        return number_and_time is not None and number_and_time[1] >= oldest

    def remember(self, name: int, time: int) -> None:
        """Keep the id under the next number; the oldest one makes room."""
        self._kept.pop(name, None)
        self._kept[name] = (self.next, time)
        names, times = self._segments.setdefault(
            self.next // IDS_PER_SEGMENT, (array("Q"), array("q"))
        )
        names.append(name)
        times.append(time)
        self.next += 1
        if len(self._kept) > self._most:
            self._forget_oldest()

    def forget_before(self, oldest: int) -> None:
        """Forget ids from the lowest number on, up to one of a time that is not before `oldest`."""
        while self._kept:
            number, time = next(iter(self._kept.values()))
            if time >= oldest:
                self.first = number
                break
            self._kept.popitem(last=False)
        else:
            self.first = self.next
        self._give_back()

    def rows(self) -> dict[bytes, bytes]:
        """The segments that the changelog holds: key and value."""
        first, end = self.first // IDS_PER_SEGMENT, -(-self.next // IDS_PER_SEGMENT)
        return {
            b"g%d" % number: msgspec.msgpack.encode([1, *map(_little, self._segments[number])])
            for number in range(first, end)
        }

    def _forget_oldest(self) -> None:
        _, (number, _) = self._kept.popitem(last=False)
        self.first = number + 1
        self._give_back()

    def _give_back(self) -> None:
        for number in [each for each in self._segments if each < self.first // IDS_PER_SEGMENT]:
            del self._segments[number]


def _little(column: array[int]) -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()
