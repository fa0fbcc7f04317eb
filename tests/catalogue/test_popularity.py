"""Decayed counts."""

from __future__ import annotations

import numpy as np
import pytest

from metarec_stream.catalogue.popularity import NO_BUCKET, count, empty_popularity

HALF_LIVES = (2.0, 1_000.0)
NOWHERE = np.zeros(0, np.int16)


def test_counts_decay_by_half_in_a_half_life() -> None:
    """Each event counts 2^(-age / half-life), across the rescaling of the stored values."""
    popularity = empty_popularity(3, HALF_LIVES)
    sequence = np.random.default_rng(5).integers(3, size=300)
    for number, item in enumerate(sequence.tolist()):
        count(popularity, item, 9, float(number), NOWHERE)
    ages = np.arange(len(sequence))[::-1]
    for place, half_life in enumerate(HALF_LIVES):
        for item in range(3):
            expected = (0.5 ** (ages[sequence == item] / half_life)).sum()
            decayed = popularity.counts[place, item] / popularity.scale[place]
            assert decayed == pytest.approx(expected, rel=1e-3)


def test_first_last_and_who_are_kept() -> None:
    """An earlier time that comes late does not move the last time back."""
    popularity = empty_popularity(2, HALF_LIVES)
    count(popularity, 1, 4, 100.0, NOWHERE)
    count(popularity, 1, 5, 90.0, NOWHERE)
    assert popularity.first_time[1] == 100.0
    assert popularity.last_time[1] == 100.0
    assert popularity.last_user[1] == 5
    assert popularity.total.tolist() == [0.0, 2.0]
    assert popularity.last_event[1] == 1


def test_each_context_has_counts_of_its_own() -> None:
    """A bucket decays by its own events only; an event that does not say its context counts not."""
    popularity = empty_popularity(2, HALF_LIVES, slots=2, buckets=3)
    here, there = np.array([1, NO_BUCKET], np.int16), np.array([2, 0], np.int16)
    for _ in range(1_000):
        count(popularity, 0, 7, 0.0, here)
    for _ in range(10_000):
        count(popularity, 1, 7, 0.0, there)
    counts = popularity.bucket_counts / popularity.bucket_scale[:, :, None]
    expected = sum(0.5 ** (age / 1_000) for age in range(1_000))
    assert counts[0, 1].tolist() == [pytest.approx(expected, rel=1e-3), 0.0]
    assert counts[0, 2, 0] == 0.0
    assert counts[1, 0, 1] == pytest.approx(counts[0, 2, 1])
    assert counts[1, 1:].sum() == 0.0
