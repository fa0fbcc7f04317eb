"""Histories of single users: who is like whom, who gives way, and what is left of the forgotten."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metarec_stream.catalogue.histories import (
    ALIKE,
    HISTORY,
    HOLDERS,
    LOOKED_UP,
    NOBODY,
    PLACES,
    Histories,
    empty_alike,
    empty_histories,
    extend_history,
    find_alike,
    forget_histories,
    least_alike,
    place_of,
)

ITEMS = 300


def had(histories: Histories, user: int, *items: int, recent: tuple[int, ...] = ()) -> None:
    """The user wanted these one after the other; `recent`: what they had before, newest first."""
    for item in items:
        before = np.array(recent, np.int32)
        extend_history(histories, user, before, len(before), item)


def similarities(histories: Histories, own: int, *items: int) -> dict[int, float]:
    """By place, to a user with these items, newest first; the room is left clean."""
    alike = empty_alike()
    found = find_alike(histories, own, np.array(items, np.int32), len(items), alike)
    places = alike.found[:found]
    assert len(set(places.tolist())) == found
    assert np.flatnonzero(alike.similarity).tolist() == sorted(places.tolist())
    return {int(place): float(alike.similarity[place]) for place in places}


def items_of(histories: Histories, user: int) -> list[int]:
    """In the order they were taken up."""
    place = place_of(histories, user)
    return [] if place == NOBODY else histories.items[place, : histories.taken[place]].tolist()


def test_the_similarity_is_what_two_users_share_by_the_length_of_the_history() -> None:
    """Later items of the one who asks count more; repeats of an item count once."""
    histories = empty_histories(ITEMS)
    had(histories, 1, 10, 11, 12, 10, 12)
    had(histories, 2, 12)
    had(histories, 3, 40)
    fading = math.exp(-0.1)
    expected = {1: (1 + fading) / math.sqrt(3), 2: 1.0}
    assert similarities(histories, NOBODY, 12, 11) == pytest.approx(expected)


def test_a_user_is_not_like_themself() -> None:
    """Their own history is passed over."""
    histories = empty_histories(ITEMS)
    had(histories, 1, 10)
    had(histories, 2, 10)
    assert set(similarities(histories, place_of(histories, 1), 10)) == {2}


def test_who_is_new_brings_what_the_ring_holds() -> None:
    """Oldest first; from then on the history goes by itself."""
    histories = empty_histories(ITEMS)
    had(histories, 1, 20, recent=(7, 8, 9))
    had(histories, 1, 21, recent=(1, 2, 3))
    assert items_of(histories, 1) == [9, 8, 7, 20, 21]


def test_a_full_history_lets_the_oldest_item_go() -> None:
    """And who asks for that one still finds the user: they did have it."""
    histories = empty_histories(ITEMS)
    had(histories, 1, *range(HISTORY + 2))
    place = place_of(histories, 1)
    assert set(histories.items[place].tolist()) == set(range(2, HISTORY + 2))
    assert similarities(histories, NOBODY, 0) == pytest.approx({place: 1 / math.sqrt(HISTORY)})


def test_another_user_at_the_same_place_takes_it_over() -> None:
    """Nothing of the one before is left, neither in the history nor among holders of items."""
    histories = empty_histories(ITEMS)
    had(histories, 1, 10, 11)
    had(histories, 1 + PLACES, 12)
    assert items_of(histories, 1) == []
    assert items_of(histories, 1 + PLACES) == [12]
    assert similarities(histories, NOBODY, 10, 11) == {}
    assert set(similarities(histories, NOBODY, 12)) == {1}


def test_a_forgotten_user_is_overwritten() -> None:
    """And can come anew, without what was before."""
    histories = empty_histories(ITEMS)
    had(histories, 5, 10, 11)
    had(histories, 6, 13)
    forget_histories(histories, np.array([5 + PLACES]))
    assert items_of(histories, 5) == [10, 11]
    forget_histories(histories, np.array([4, 5, 5 + PLACES]))
    assert not histories.items[5].any()
    assert np.flatnonzero(histories.owner != NOBODY).tolist() == [6]
    assert similarities(histories, NOBODY, 10, 11) == {}
    had(histories, 5, 12)
    assert items_of(histories, 5) == [12]
    assert similarities(histories, NOBODY, 10, 12) == pytest.approx({5: math.exp(-0.1)})


def test_the_latest_holders_of_an_item_are_looked_up() -> None:
    """One more than there is room for: the first is not found any more."""
    histories = empty_histories(ITEMS)
    for user in range(1, HOLDERS + 2):
        had(histories, user, 10)
    assert set(similarities(histories, NOBODY, 10)) == set(range(2, HOLDERS + 2))


def test_only_the_latest_items_of_the_one_who_asks_are_looked_up() -> None:
    """An item beyond those says nothing."""
    histories = empty_histories(ITEMS)
    had(histories, 1, LOOKED_UP)
    had(histories, 2, LOOKED_UP - 1)
    assert set(similarities(histories, NOBODY, *range(LOOKED_UP + 1))) == {2}


def test_so_many_of_the_most_similar_count() -> None:
    """The least similarity of those; of fewer than that, all."""
    alike, draw = empty_alike(), np.random.default_rng(0)
    values = draw.random(ALIKE + 50).astype(np.float32)
    alike.found[: len(values)] = draw.permutation(PLACES)[: len(values)]
    alike.similarity[alike.found[: len(values)]] = values
    assert least_alike(alike, len(values)) == np.sort(values)[-ALIKE]
    assert least_alike(alike, ALIKE) == 0
