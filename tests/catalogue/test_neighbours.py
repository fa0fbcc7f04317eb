"""Transitions and co-occurrence."""

from __future__ import annotations

import numpy as np
import pytest

from metarec_stream.catalogue.neighbours import (
    RECENT_HALF_LIFE_EVENTS,
    Neighbours,
    empty_relations,
    relate,
)


def weights_of(neighbours: Neighbours, item: int, scale: float) -> dict[int, float]:
    """The item's neighbours and their weights as of now."""
    used = int(neighbours.length[item])
    pairs = zip(neighbours.item[item, :used], neighbours.weight[item, :used], strict=True)
    return {int(other): float(weight) / scale for other, weight in pairs}


def test_what_follows_and_what_goes_with_what() -> None:
    """The newest leads; companions count by lag forward, and half of it backward."""
    relations = empty_relations(5, 8, 1e9)
    relate(relations, np.array([1, 2, 3], np.int32), 2, 4)
    scale = float(relations.scale[0])
    assert weights_of(relations.transitions, 1, scale) == {4: pytest.approx(1)}
    assert weights_of(relations.transitions, 2, scale) == {}
    assert weights_of(relations.cooccurrence, 2, scale) == {4: pytest.approx(0.5)}
    backward = {1: pytest.approx(0.5), 2: pytest.approx(0.25)}
    assert weights_of(relations.cooccurrence, 4, scale) == backward


def test_the_same_item_again_relates_nothing() -> None:
    """A repeat of the newest is no transition."""
    relations = empty_relations(5, 8, 1e9)
    relate(relations, np.array([4, 2], np.int32), 2, 4)
    assert relations.transitions.length.sum() == 0
    assert relations.cooccurrence.length.sum() == 0


def test_the_weakest_neighbour_gives_way() -> None:
    """A full list drops its least weight, and weights halve in a half-life."""
    relations = empty_relations(9, 2, 4.0)
    for item in (1, 2, 2, 3):
        relate(relations, np.array([0], np.int32), 1, item)
    kept = weights_of(relations.transitions, 0, float(relations.scale[0]))
    assert kept == {2: pytest.approx(0.5**0.5 + 0.5**0.25, rel=1e-4), 3: pytest.approx(1)}
    assert relations.transitions.total[0] / relations.scale[0] > sum(kept.values())


def test_rescaling_changes_no_weight() -> None:
    """With a short half-life the scale runs over many times; the newest still counts 1."""
    relations = empty_relations(3, 2, 1.0)
    for _ in range(200):
        relate(relations, np.array([0], np.int32), 1, 1)
    scale = float(relations.scale[0])
    assert scale < 1e13
    assert weights_of(relations.transitions, 0, scale)[1] == pytest.approx(2.0, rel=1e-3)


def test_recent_transitions_are_forgotten_sooner() -> None:
    """They halve in their own half-life, through a rescaling too, while the others stay."""
    relations = empty_relations(3, 2, 1e9)
    relations.scale[1] = 0.9e12
    relate(relations, np.array([0], np.int32), 1, 1)
    for _ in range(int(RECENT_HALF_LIFE_EVENTS)):
        relate(relations, np.array([0], np.int32), 0, 2)
    lasting, recent = relations.transitions, relations.recent_transitions
    assert weights_of(lasting, 0, float(relations.scale[0])) == {1: pytest.approx(1, rel=1e-4)}
    assert relations.scale[1] < 1e12
    assert weights_of(recent, 0, float(relations.scale[1])) == {1: pytest.approx(0.5, rel=1e-3)}
