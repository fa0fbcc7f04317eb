"""The control of alternating least squares: its fold-in, its refreshes, and what it learns."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("implicit", reason="the extra `bench` is not installed")

from metarec_stream.evaluate.controls.followed import Mixed
from metarec_stream.evaluate.controls.ials import (
    FACTORS,
    Confidence,
    first_model,
    ials,
    rank_by_fold_in,
    refit,
)
from metarec_stream.evaluate.metrics import ranks
from metarec_stream.evaluate.protocol import Protocol
from tests.evaluate.controls.plain import latest_distinct, popularity_shares
from tests.evaluate.streams import grouped_stream, stream_from

CONFIDENCE = Confidence(half_life=100.0, confidence=20.0, penalty=1.0, fading=0.25)
MIXED = Mixed(CONFIDENCE, 50.0, 0.1, again=0.5)


def test_a_user_is_solved_from_the_latest_items() -> None:
    """The rank of the row after a refresh is that of a plain least-squares solution."""
    stream, row = grouped_stream(300), 250
    ranked = rank_by_fold_in(stream, Protocol(), MIXED, 3, slice(row, row + 1))
    model = first_model(stream, CONFIDENCE, 3)
    refit(model, stream, 0, CONFIDENCE.half_life)
    items = refit(model, stream, row, CONFIDENCE.half_life).astype(np.float64)
    latest = latest_distinct(stream, row)[:40]
    left, right = items.T @ items + CONFIDENCE.penalty * np.eye(FACTORS), np.zeros(FACTORS)
    for rank, item in enumerate(latest):
        confidence = CONFIDENCE.confidence * math.exp(-CONFIDENCE.fading * rank)
        left += (confidence - 1) * np.outer(items[item], items[item])
        right += confidence * items[item]
    scores = items @ np.linalg.solve(left, right)
    for item, share in popularity_shares(stream, row, 50.0).items():
        scores[item] += 0.1 * share
    scores[latest] *= 0.5
    assert np.abs(scores).max() > 0.2
    assert ranked.greater.tolist() == [np.count_nonzero(scores > scores[stream.items[row]])]
    assert ranked.equal.tolist() == [1]


def test_a_refresh_knows_only_what_came_before() -> None:
    """Other events from a row on change no rank up to it, and some after it."""
    stream, row = grouped_stream(300), 260
    pairs = [
        (stream.user_ids[user], stream.item_ids[item])
        for user, item in zip(stream.users, stream.items, strict=True)
    ]
    changed = stream_from([*pairs[:row], *(("u0", f"i{at % 20}") for at in range(40))])
    part = slice(200, 300)
    one, other = (rank_by_fold_in(each, Protocol(), MIXED, 0, part) for each in (stream, changed))
    before = one.rows < row
    assert one.greater[before].tolist() == other.greater[before].tolist()
    assert one.greater[~before].tolist() != other.greater[~before].tolist()


def test_items_nobody_wanted_have_no_factors() -> None:
    """After a refresh a skipped item scores as one that was never seen."""
    pairs = [("a", "u"), ("b", "u"), ("a", "v"), ("b", "w")]
    stream = stream_from(pairs, ["click", "click", "skip", "click"])
    model = first_model(stream, CONFIDENCE, 0)
    items = refit(model, stream, 4, CONFIDENCE.half_life)
    assert [bool(each.any()) for each in items] == [True, False, True]


def test_groups_of_items_are_learned_and_the_seed_decides() -> None:
    """Better than chance among twenty; the same with the same seed, other with another."""
    stream, protocol = grouped_stream(1_000), Protocol(score_from=0.8)
    found = ials(stream, protocol, 1)
    assert found.rows.tolist() == stream.scored(protocol).tolist()
    assert np.mean(ranks(found, "mid") <= 5) > 0.9
    part = slice(100, 200)
    one, same, other = (rank_by_fold_in(stream, protocol, MIXED, seed, part) for seed in (1, 1, 2))
    assert one.greater.tolist() == same.greater.tolist()
    assert one.greater.tolist() != other.greater.tolist()
