"""The synthetic stream: what was planted is in it, no more and no less."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from metarec_stream.datasets.settings import SyntheticSettings
from metarec_stream.datasets.synthetic import START_MS, SyntheticStream, synthetic_stream

EVENTS = 40_000


def drawn(seed: int = 0, **settings: Any) -> SyntheticStream:
    """A stream of 40,000 events, or as the settings say."""
    return synthetic_stream(SyntheticSettings(**{"events": EVENTS, **settings}), seed)


def first_times(stream: SyntheticStream) -> NDArray[np.bool_]:
    """[n] whether an event's user has not had its item before."""
    pairs = stream.users.astype(np.int64) * len(stream.truth.item_from) + stream.items
    new = np.zeros(len(stream), np.bool_)
    new[np.unique(pairs, return_index=True)[1]] = True
    return new


def on_taste(stream: SyntheticStream) -> NDArray[np.bool_]:
    """[n] whether an event is on an item of what the truth calls its user's taste."""
    return np.equal(stream.truth.item_taste[stream.items], stream.taste())


def test_the_same_seed_gives_the_same_stream() -> None:
    """Events, times and truth; another seed gives others."""
    one, same, other = drawn(7), drawn(7), drawn(8)
    for name in ("users", "items", "ts"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
        assert np.mean(getattr(one, name) == getattr(other, name)) < 0.5
    np.testing.assert_array_equal(one.truth.user_taste, same.truth.user_taste)


def test_items_of_a_group_are_chosen_in_proportion_to_their_weights() -> None:
    """What users take first, to whom all is new, follows the weights, group by group."""
    stream = drawn(items=40, tastes=4, new_items=0.0, users=20_000, new_users=0.0, activity=0.0)
    _, first = np.unique(stream.users, return_index=True)
    counts = np.bincount(stream.items[first], minlength=40)
    for group in range(4):
        of_group = stream.truth.item_taste == group
        expected = stream.item_weight[of_group] / stream.item_weight[of_group].sum()
        found = counts[of_group] / counts[of_group].sum()
        np.testing.assert_allclose(found, expected, atol=0.02)
    assert stream.item_weight.max() > 3 * stream.item_weight.min()


def test_tastes_are_followed_as_often_as_said() -> None:
    """`focus`, and the share that the random groups add to it; before and after the change."""
    stream = drawn(focus=0.7, tastes=5, change_at=(20_000,))
    for part in (slice(0, 20_000), slice(20_000, EVENTS)):
        assert on_taste(stream)[part].mean() == pytest.approx(0.7 + 0.3 / 5, abs=0.015)


def test_tastes_change_when_it_is_said_and_for_everybody() -> None:
    """Without other groups every event says the user's taste: nobody changes a row off."""
    changes = (10_000, 10_001, 25_000)
    stream = drawn(focus=1.0, change_at=changes, repeats=0.5)
    assert stream.truth.change_at == changes
    assert on_taste(stream).all()
    assert (np.diff(stream.truth.user_taste, axis=0) != 0).all()
    shown = stream.truth.item_taste[stream.items]
    assert (shown[25_000:] != stream.truth.user_taste[2, stream.users[25_000:]]).all()


def test_a_change_beyond_the_end_is_not_in_the_truth() -> None:
    """Only what happened is told; without changes there is one taste a user."""
    assert drawn(change_at=(EVENTS - 1, EVENTS)).truth.change_at == (EVENTS - 1,)
    assert drawn(change_at=()).truth.user_taste.shape[0] == 1


def test_since_change_counts_the_users_events_under_their_taste() -> None:
    """As counted by hand, starting again at each change."""
    stream = drawn(events=3_000, users=50, change_at=(1_000, 2_000))
    counts: dict[int, int] = {}
    expected = []
    for row, user in enumerate(stream.users.tolist()):
        if row in stream.truth.change_at:
            counts.clear()
        expected.append(counts.get(user, 0))
        counts[user] = expected[-1] + 1
    assert stream.since_change().tolist() == expected


@pytest.mark.parametrize("repeats", [0.0, 0.3, 0.9])
def test_repeats_come_as_often_as_said(repeats: float) -> None:
    """Of the events whose user has something to repeat; at 0 nobody meets an item twice."""
    stream = drawn(repeats=repeats, change_at=(30_000,))
    again = ~first_times(stream)
    assert not again[stream.since_change() == 0].any()
    assert again[stream.since_change() > 0].mean() == pytest.approx(repeats, abs=0.015)
    if not repeats:
        assert not again.any()


def test_recent_items_are_repeated_most() -> None:
    """The last event's item at least by the chance of not going back, older ones less and less."""
    stream = drawn(repeats=0.5, users=20, new_users=0, change_at=(), activity=0)
    lags: list[int] = []
    for user in range(20):
        items = stream.items[stream.users == user][-1_000:]
        for row in range(20, 1_000):
            found = np.flatnonzero(items[row - 20 : row][::-1] == items[row])
            lags += found[:1].tolist()
    counts = np.bincount(lags)
    assert (np.diff(counts[:6]) < 0).all()
    assert 0.5 * 0.3 < counts[0] / (20 * 980) < 0.5 * 0.5


def test_users_and_items_arrive_through_the_stream() -> None:
    """At their rates; a new user with an event at that row, an item in no event before its own."""
    stream = drawn(new_users=0.1, new_items=0.05)
    truth = stream.truth
    first_row: dict[int, int] = {}
    for row, user in enumerate(stream.users.tolist()):
        first_row.setdefault(user, row)
    came = truth.user_from > 0
    assert [first_row[user] for user in np.flatnonzero(came).tolist()] == truth.user_from[
        came
    ].tolist()
    assert (truth.item_from[stream.items] <= np.arange(EVENTS)).all()
    assert came.sum() == pytest.approx(0.1 * EVENTS, rel=0.05)
    assert (truth.item_from > 0).sum() == pytest.approx(0.05 * EVENTS, rel=0.1)
    late = truth.item_from[stream.items[-5_000:]]
    assert np.histogram(late, bins=[1, EVENTS // 2, EVENTS])[0].min() > 500


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.2])
def test_popularity_and_activity_have_the_tails_said(exponent: float) -> None:
    """The first tenth of users, and of each group's items, has Zipf's share of the events."""
    stream = drawn(
        events=200_000, users=500, items=1_000, tastes=2, new_users=0, new_items=0, repeats=1,
        activity=exponent, popularity=0,
    )  # fmt: skip
    assert first_tenth(stream.users, 500) == pytest.approx(share_of(500, exponent), abs=0.03)
    stream = drawn(
        users=30_000, items=1_000, tastes=2, new_users=0, new_items=0, activity=0, repeats=0,
        popularity=exponent,
    )  # fmt: skip
    for group in range(2):
        items = stream.items[stream.truth.item_taste[stream.items] == group] // 2
        assert first_tenth(items, 500) == pytest.approx(share_of(500, exponent), abs=0.04)


def first_tenth(numbers: NDArray[np.int32], count: int) -> float:
    """Share of the events that the most frequent tenth has."""
    counts = np.sort(np.bincount(numbers, minlength=count))[::-1]
    return float(counts[: count // 10].sum() / counts.sum())


def share_of(count: int, exponent: float) -> float:
    """The same by Zipf's law."""
    weights = np.arange(1, count + 1) ** -exponent
    return float(weights[: count // 10].sum() / weights.sum())


def test_a_spent_catalogue_is_repeated() -> None:
    """A user alone has every item of a taste once, and only then items again."""
    stream = drawn(
        events=200, users=1, new_users=0, items=10, new_items=0, tastes=2, focus=1, repeats=0,
        popularity=0,
    )  # fmt: skip
    assert len(set(stream.items[:5].tolist())) == 5
    assert on_taste(stream).all()


def test_a_user_with_nothing_new_leaves_the_events_to_others() -> None:
    """However uneven the activity, nothing is repeated while somebody has new items."""
    stream = drawn(events=4_000, users=400, new_users=0, items=40, tastes=2, new_items=0, repeats=0,
                   activity=2, focus=1, change_at=())  # fmt: skip
    assert first_times(stream).all()
    assert np.bincount(stream.users).max() <= 20


def test_times_ascend_at_the_mean_gap() -> None:
    """Milliseconds from the start, never backwards."""
    stream = drawn(gap_s=2.5)
    assert stream.ts[0] == START_MS
    assert (np.diff(stream.ts) >= 0).all()
    assert np.diff(stream.ts).mean() == pytest.approx(2_500, rel=0.03)


small = st.builds(
    SyntheticSettings,
    events=st.integers(1, 300),
    users=st.integers(1, 20),
    items=st.integers(5, 40),
    tastes=st.integers(2, 5),
    new_users=st.floats(0, 1),
    new_items=st.floats(0, 1),
    focus=st.floats(0, 1),
    repeats=st.floats(0, 1),
    change_at=st.sets(st.integers(1, 300), max_size=3).map(lambda rows: tuple(sorted(rows))),
    activity=st.floats(0, 3),
    popularity=st.floats(0, 3),
)


@given(settings=small, seed=st.integers(0, 2**63 - 1))
@hypothesis_settings(max_examples=60)
def test_every_stream_keeps_to_its_truth(settings: SyntheticSettings, seed: int) -> None:
    """As many events as asked for, of users and items that are there and of tastes there are."""
    stream = synthetic_stream(settings, seed)
    rows, truth = np.arange(len(stream)), stream.truth
    assert len(rows) == settings.events
    assert (truth.user_from[stream.users] <= rows).all()
    assert (truth.item_from[stream.items] <= rows).all()
    assert truth.user_taste.shape == (len(truth.change_at) + 1, len(truth.user_from))
    assert np.isin(truth.user_taste, range(settings.tastes)).all()
    if settings.focus == 1:
        assert on_taste(stream).all()


@pytest.mark.parametrize("change_at", [(5, 5), (7, 3), (0,)])
def test_changes_must_ascend(change_at: tuple[int, ...]) -> None:
    """Two changes at once, or before the first event, mean nothing."""
    with pytest.raises(ValidationError, match="change_at"):
        SyntheticSettings(change_at=change_at)


def test_settings_that_fit_nothing_are_refused() -> None:
    """A taste without items; one number is one change."""
    with pytest.raises(ValidationError, match=r"items \(5\) must be at least tastes \(9\)"):
        SyntheticSettings(items=5, tastes=9)
    assert SyntheticSettings.model_validate({"change_at": 500}).change_at == (500,)
