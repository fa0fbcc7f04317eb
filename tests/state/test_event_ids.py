"""Remembered ids: bounded, undone to the last one, and restored from their segments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.errors import Degraded
from metarec_stream.state import event_ids as module
from metarec_stream.state import header as header_module
from metarec_stream.state.event_ids import EventIds
from metarec_stream.state.header import decode_segment

HORIZON = 5
steps = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 40)), max_size=40)


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few ids fill several."""
    monkeypatch.setattr(module, "SEGMENT_IDS", 4)
    monkeypatch.setattr(header_module, "SEGMENT_IDS", 4)


class Plain:
    """The same in the simplest way: a dictionary in the order of its entries."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.times: dict[int, int] = {}

    def step(self, event: int, time: int) -> bool:
        if event in self.times and self.times[event] >= time - HORIZON:
            return False
        self.times.pop(event, None)
        self.times[event] = time
        while len(self.times) > self.most:
            del self.times[next(iter(self.times))]
        while self.times and self.times[next(iter(self.times))] < time - HORIZON:
            del self.times[next(iter(self.times))]
        return True


def step(ids: EventIds, event: int, time: int) -> bool:
    """Remember at a moment, and forget what is past its horizon."""
    new = ids.remember(event, time, time - HORIZON)
    if new:
        ids.forget_before(time - HORIZON)
    return new


def content(ids: EventIds) -> Any:
    """All that another process would need."""
    return (ids.first, ids.next, {number: ids.encoded(number) for number in ids.segments()})


def restored(ids: EventIds) -> EventIds:
    """What a process that reads the segments has."""
    made = EventIds(ids._most)
    segments = {number: decode_segment(ids.encoded(number), "") for number in ids.segments()}
    made.restore(ids.first, ids.next, segments)
    return made


@pytest.mark.parametrize("most", [0, 1, 5, 100])
@given(steps, steps)
def test_it_answers_like_a_plain_dictionary_also_after_a_restore(
    most: int, before: list[tuple[int, int]], after: list[tuple[int, int]]
) -> None:
    """Whatever comes, in whatever order of time."""
    plain, ids = Plain(most), EventIds(most)
    for each in before:
        assert step(ids, *each) == plain.step(*each)
        assert len(ids) == len(plain.times)
    again = restored(ids)
    assert content(again) == content(ids)
    for each in after:
        assert step(ids, *each) == step(again, *each) == plain.step(*each)
    again.forget_segments()
    assert content(again) == content(ids)


@given(steps, steps, steps, st.sampled_from([1, 4, 9]))
def test_an_undone_batch_leaves_no_trace(
    before: list[tuple[int, int]],
    undone: list[tuple[int, int]],
    after: list[tuple[int, int]],
    most: int,
) -> None:
    """The content is the same, and so is what comes after."""
    ids, other = EventIds(most), EventIds(most)
    for each in before:
        ids.begin()
        step(ids, *each)
        ids.keep()
        step(other, *each)
    ids.begin()
    for each in undone:
        step(ids, *each)
    ids.undo()
    assert content(ids) == content(other)
    for each in after:
        assert step(ids, *each) == step(other, *each)
    assert content(ids) == content(other)


def test_a_missing_or_short_segment_is_degraded() -> None:
    """Which one is named."""
    ids = EventIds(100)
    for number in range(10):
        ids.remember(number + 1, 0, 0)
    segments = {number: decode_segment(ids.encoded(number), "") for number in ids.segments()}
    short = {**segments, 1: decode_segment(ids.encoded(2), "")}
    del segments[0]
    for broken, number in ((segments, 0), (short, 1)):
        with pytest.raises(Degraded, match=f"segment {number} is missing or cut short"):
            EventIds(100).restore(0, 10, broken)
