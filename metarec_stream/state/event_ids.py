"""The event ids that a partition remembers, to know duplicates: hard state, kept in segments.

Every id that is remembered gets the next number; a segment holds `SEGMENT_IDS` numbers as they
were appended. What is kept is a range of numbers, of the same id the highest. So segments only
ever grow at the end and fall off at the beginning, and a checkpoint writes the few that grew.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping

from metarec_stream.errors import Degraded
from metarec_stream.state.header import SEGMENT_IDS, Segment, encode_segment


class EventIds:
    """Hashes of ids with their events' times, at most `most` of them; changes can be undone."""

    __slots__ = ("_ids", "_most", "_numbers", "_removed", "_times", "_undo_to", "first", "next")

    def __init__(self, most: int) -> None:
        self._most = most
        self._numbers: dict[int, int] = {}
        self._ids: dict[int, array[int]] = {}
        self._times: dict[int, array[int]] = {}
        self._removed: list[tuple[int, int]] = []
        self._undo_to: tuple[int, int] | None = None
        self.first = 0
        """Number of the oldest id that may be kept."""
        self.next = 0
        """Number that the next id gets."""

    def __len__(self) -> int:
        return len(self._numbers)

    def remember(self, event: int, time: int, horizon: int) -> bool:
        """Keep an id; False if it is kept already, with a time not before the horizon."""
        known = self._numbers.get(event)
        if known is not None:
            if self._times[known // SEGMENT_IDS][known % SEGMENT_IDS] >= horizon:
                return False
            self._remove(event, known)
        self._append(event, time)
        if len(self._numbers) > self._most:
            self._forget_oldest()
        return True

    def forget_before(self, horizon: int) -> None:
        """Forget ids of earlier times, from the oldest kept up to the first that is not.

        One that is behind a newer one stays a while; `remember` ignores it.
        """
        while self.first < self.next:
            segment, place = divmod(self.first, SEGMENT_IDS)
            event = self._ids[segment][place]
            if self._numbers.get(event) == self.first:
                if self._times[segment][place] >= horizon:
                    return
                self._remove(event, self.first)
            self.first += 1

    def begin(self) -> None:
        """From here on, what changes can be undone."""
        self._undo_to = (self.first, self.next)
        self._removed.clear()

    def keep(self) -> None:
        """What changed since `begin` stays."""
        self._undo_to = None
        self._removed.clear()

    def undo(self) -> None:
        """As it was at `begin`."""
        if self._undo_to is None:
            return
        first, following = self._undo_to
        for number in range(following, self.next):
            segment, place = divmod(number, SEGMENT_IDS)
            event = self._ids[segment][place]
            if self._numbers.get(event) == number:
                del self._numbers[event]
        for event, number in self._removed:
            if number < following:
                self._numbers[event] = number
        self._cut(following)
        self.first, self.next = first, following
        self.keep()

    def segments(self) -> range:
        """Numbers of the segments that hold what is kept, and of the one that is not full yet."""
        return range(self.first // SEGMENT_IDS, -(-self.next // SEGMENT_IDS))

    def encoded(self, segment: int) -> bytes:
        """A segment's bytes, as the changelog holds them."""
        return encode_segment(_little(self._ids[segment]), _little(self._times[segment]))

    def forget_segments(self) -> None:
        """Give back the segments before those that hold what is kept."""
        for number in [each for each in self._ids if each < self.first // SEGMENT_IDS]:
            del self._ids[number], self._times[number]

    def restore(self, first: int, following: int, segments: Mapping[int, Segment]) -> None:
        """Become what these segments hold; raises Degraded if one is missing or too short."""
        made = EventIds(self._most)
        made.first, made.next = first, following
        for number in made.segments():
            made._read(number, segments.get(number))
        self.first, self.next, self._numbers = first, following, made._numbers
        self._ids, self._times = made._ids, made._times

    def _read(self, segment: int, stored: Segment | None) -> None:
        begin = segment * SEGMENT_IDS
        needed = min(SEGMENT_IDS, self.next - begin)
        if stored is None or len(stored.ids) // 8 < needed:
            raise Degraded(f"the guard's segment {segment} is missing or cut short")
        ids, times = _array("Q", stored.ids), _array("q", stored.times)
        del ids[needed:], times[needed:]
        self._ids[segment], self._times[segment] = ids, times
        skipped = max(0, self.first - begin)
        kept = range(begin + skipped, begin + needed)
        self._numbers.update(zip(ids[skipped:], kept, strict=True))

    def _append(self, event: int, time: int) -> None:
        segment, place = divmod(self.next, SEGMENT_IDS)
        if place == 0 or segment not in self._ids:
            self._ids[segment], self._times[segment] = array("Q"), array("q")
        self._ids[segment].append(event)
        self._times[segment].append(time)
        self._numbers[event] = self.next
        self.next += 1

    def _remove(self, event: int, number: int) -> None:
        del self._numbers[event]
        if self._undo_to is not None:
            self._removed.append((event, number))

    def _forget_oldest(self) -> None:
        while True:
            event = self._ids[self.first // SEGMENT_IDS][self.first % SEGMENT_IDS]
            self.first += 1
            if self._numbers.get(event) == self.first - 1:
                self._remove(event, self.first - 1)
                return

    def _cut(self, following: int) -> None:
        """Take back what was appended from a number on."""
        for segment in [each for each in self._ids if (each + 1) * SEGMENT_IDS > following]:
            length = max(0, following - segment * SEGMENT_IDS)
            del self._ids[segment][length:], self._times[segment][length:]


def _array(kind: str, content: bytes) -> array[int]:
    column: array[int] = array(kind)
    column.frombytes(content)
    if sys.byteorder == "big":
        column.byteswap()
    return column


def _little(column: array[int]) -> bytes:
    if sys.byteorder == "little":
        return column.tobytes()
    turned = column[:]
    turned.byteswap()
    return turned.tobytes()
