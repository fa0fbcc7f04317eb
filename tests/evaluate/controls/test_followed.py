"""What controls of users' latest items share: their choice of settings, blocks, and look back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.evaluate.controls.followed import (
    Mixed,
    best_mixed,
    blocks_to_solve,
    latest_outcomes,
)
from metarec_stream.evaluate.controls.popularity import best_half_life
from metarec_stream.evaluate.controls.related import POPULARITY_SHARES
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol, Repeats
from metarec_stream.evaluate.stream import Stream
from tests.evaluate.streams import stream_from

STREAM = stream_from([(f"u{row % 7}", f"i{row * row % 11}") for row in range(100)])


@given(st.integers(0, 30_000), st.integers(0, 3_000))
def test_blocks_follow_each_other_without_a_gap(start: int, length: int) -> None:
    """The rows before the part are one; then each is a tenth of what came before, or 1,000."""
    blocks = blocks_to_solve(slice(start, start + length))
    assert [block.start for block in blocks] == [0, *(block.stop for block in blocks[:-1])]
    assert (blocks[0].stop, blocks[-1].stop) == (start, start + length)
    for block in blocks[1:]:
        assert 0 < block.stop - block.start <= max(1, min(1_000, block.start // 10))
    for block in blocks[1:-1]:
        assert block.stop - block.start == max(1, min(1_000, block.start // 10))


def test_outcomes_before_a_row_weigh_less_with_age() -> None:
    """Other events do not count, and those of more than ten half-lives ago are left out."""
    types = ["click" if row % 3 else "skip" for row in range(60)]
    stream = stream_from([("a", "u")] * 60, types)
    rows, weights = latest_outcomes(stream, 50, 2.0)
    assert rows.tolist() == [row for row in range(50) if row % 3][-20:]
    assert weights == pytest.approx([0.5 ** (age / 2) for age in reversed(range(20))])


@pytest.mark.parametrize(("repeats", "again"), [("mask", [1.0]), ("include", [1.0, 0.0])])
def test_settings_are_chosen_one_after_the_other(repeats: Repeats, again: list[float]) -> None:
    """The best of each on the last tenth before the scored rows, however it is found."""
    protocol = Protocol(score_from=0.5, repeats=repeats)
    tried: list[tuple[Mixed[str], slice]] = []

    def rank(
        stream: Stream, protocol: Protocol, mixed: Mixed[str], seed: int, part: slice, length: int
    ) -> RankedEvents:
        """Best are: `good`, a share of 0.3, and nothing again."""
        tried.append((mixed, part))
        faults = 3 * (mixed.own != "good") + 2 * (mixed.popularity_share != 0.3) + mixed.again
        one = np.ones(1, np.int32)
        lists = np.zeros((1, 0), np.int32)
        return RankedEvents(np.ones(1, np.int64), one > 0, one * int(faults), one, lists, 0.0)

    best = best_mixed(STREAM, protocol, 0, ["poor", "good", "worse"], rank)
    half_life = best_half_life(STREAM, protocol, 0)
    assert best == Mixed("good", half_life, 0.3, again[-1])
    assert all(part == slice(45, 50) for _, part in tried)
    assert len(tried) == 2 * (repeats == "include") + 3 + len(POPULARITY_SHARES)
