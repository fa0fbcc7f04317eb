"""The replay buffer keeps the newest half, samples the rest, and is bounded."""

from __future__ import annotations

import numpy as np

from metarec_stream.learner.buffer import ReplayBuffer
from metarec_stream.learner.events import TaskEvents


def events(first: int, count: int, candidates: int = 3, window: int = 2) -> TaskEvents:
    """Events that carry their number in every field."""
    number = np.arange(first, first + count)
    return TaskEvents(
        users=number.astype(np.uint64),
        weights=number.astype(np.float32),
        unlearned=number.astype(np.float32),
        candidates=np.tile(number[:, None], (1, candidates)).astype(np.int32),
        reranked=np.ones((count, candidates), np.uint8),
        log_q=np.tile(number[:, None], (1, candidates)).astype(np.float32),
        features=np.tile((number % 100)[:, None, None], (1, candidates, 2)).astype(np.float16),
        window=np.tile(number[:, None], (1, window)).astype(np.int32),
        gaps=np.tile(number[:, None], (1, window)).astype(np.float32),
        situation=np.tile(number[:, None], (1, 2)).astype(np.float32),
        feature_weights=np.zeros((count, 3, 2), np.float16),
        profile_tokens=np.zeros((count, 0), np.int16),
    )


def kept(buffer: ReplayBuffer) -> set[int]:
    """The numbers of the events that can be drawn, each seen with certainty but for 1e-9."""
    return set(buffer.draw(40 * len(buffer)).weights.astype(int).tolist())


def test_the_newest_half_is_kept_and_the_size_is_bounded() -> None:
    """After many additions, in pieces of any size, the newest half is all there, and no more."""
    buffer = ReplayBuffer(40, seed=1)
    added = 0
    for count in (7, 1, 90, 13, 40, 5, 200, 3):
        buffer.add(events(added, count))
        added += count
        assert len(buffer) == min(40, added)
        assert set(range(max(0, added - 20), added)) <= kept(buffer)
        assert len(kept(buffer)) == len(buffer)


def test_fields_of_an_event_stay_together() -> None:
    """What is drawn is whole events, in both halves."""
    buffer = ReplayBuffer(40, seed=1)
    buffer.add(events(0, 500))
    drawn = buffer.draw(300)
    for name in ("candidates", "log_q", "window", "gaps", "situation"):
        field = getattr(drawn, name)
        np.testing.assert_array_equal(field, np.tile(drawn.weights[:, None], field.shape[1]), name)
    np.testing.assert_array_equal(drawn.features[:, 0, 0], drawn.weights % 100)


def test_older_events_are_sampled_uniformly() -> None:
    """Over many seeds every older event is kept about equally often, the first as the last."""
    hits = np.zeros(200)
    for seed in range(300):
        buffer = ReplayBuffer(40, seed)
        for first in range(0, 220, 11):
            buffer.add(events(first, 11))
        hits[[number for number in kept(buffer) if number < 200]] += 1
    expected = 300 * 20 / 200
    assert abs(hits[:50].mean() - expected) < 3
    assert abs(hits[150:].mean() - expected) < 3
    assert hits.min() > 8


def test_the_same_seed_draws_the_same() -> None:
    """Two buffers of one seed agree, one of another does not."""
    first, same, other = (ReplayBuffer(40, seed) for seed in (5, 5, 6))
    for buffer in (first, same, other):
        buffer.add(events(0, 300))
    drawn = first.draw(50).weights
    np.testing.assert_array_equal(drawn, same.draw(50).weights)
    assert not np.array_equal(drawn, other.draw(50).weights)


def test_wider_events_widen_what_is_kept() -> None:
    """Events with more candidates or a longer window live beside narrower ones, padded."""
    buffer = ReplayBuffer(40, seed=1)
    buffer.add(events(0, 10))
    buffer.add(events(10, 10, candidates=5, window=4))
    buffer.add(events(20, 10))
    drawn = buffer.draw(500)
    assert drawn.candidates.shape == (500, 5)
    assert drawn.window.shape == (500, 4)
    wide = (drawn.weights >= 10) & (drawn.weights < 20)
    assert (drawn.candidates[wide, 4] == drawn.weights[wide]).all()
    assert (drawn.candidates[~wide, 3:] == -1).all()
    assert (drawn.window[~wide, 2:] == -1).all()


def test_a_balanced_draw_evens_out_the_items() -> None:
    """Of 90 events of one item and 10 of another, half of each are drawn; a seed draws the same."""
    made = events(0, 100)
    made.candidates[:, 0] = np.arange(100) >= 90
    drawn = []
    for balance, seed in ((1.0, 1), (1.0, 1), (0.0, 1), (0.5, 1)):
        buffer = ReplayBuffer(200, seed, balance=balance)
        buffer.add(made)
        drawn.append(buffer.draw(4_000).candidates[:, 0])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert abs(drawn[0].mean() - 0.5) < 0.03
    assert abs(drawn[2].mean() - 0.1) < 0.03
    assert abs(drawn[3].mean() - 0.25) < 0.03
