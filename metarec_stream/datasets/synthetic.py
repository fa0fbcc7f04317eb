"""A stream of interactions that is made up, so that it is known what is to be learned.

Every item belongs to one group, and at any time every user has one group as their taste. Most of a
user's events are on items of their taste, chosen by popularity in the group; the others are on
items of a group drawn at random. At known events all users move to another group. Users and items
arrive while the stream flows; activity and popularity follow Zipf's law. So one event says much
about a user's taste, items of one group come together in histories, and popularity over all users
says nothing about anybody's taste.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.datasets.settings import SyntheticSettings

START_MS = 1_735_689_600_000
"""Time of the first event: the beginning of 2025."""

_TRIES = 32
"""Draws of an item new to a user before the event is left to another user, and draws of users
before it is on an item that is not new. The second half of these draws ignores activity: the most
active are the first to whom nothing is new."""
_STEP_BACK = 0.7
"""Chance that a repeat goes one event further back."""


@dataclass(frozen=True, slots=True)
class SyntheticTruth:
    """What was planted: U users and I items, numbered in the order of their arrival."""

    item_taste: NDArray[np.int32]
    """[I] group of each item."""
    user_taste: NDArray[np.int32]
    """[changes + 1, U] group of each user before the first change, after it, and so on."""
    change_at: tuple[int, ...]
    """First row under each changed taste; changes beyond the stream's end are not among them."""
    user_from: NDArray[np.int64]
    """[U] row from which a user is there: 0, or the row of a new user's first event."""
    item_from: NDArray[np.int64]
    """[I] row from which an item can be chosen."""

    def period(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """[m] how many changes came before or with each of the rows."""
        return np.searchsorted(np.array(self.change_at, np.int64), rows, side="right")


@dataclass(frozen=True, slots=True)
class SyntheticStream:
    """n events in the order of their time, and the truth behind them."""

    users: NDArray[np.int32]
    """[n]"""
    items: NDArray[np.int32]
    """[n]"""
    ts: NDArray[np.int64]
    """[n] milliseconds since the epoch, from START_MS on."""
    truth: SyntheticTruth
    item_weight: NDArray[np.float64]
    """[I] in proportion to which an item is chosen among those of its group that can be."""

    def __len__(self) -> int:
        return len(self.users)

    def taste(self) -> NDArray[np.int32]:
        """[n] the group that each event's user had as their taste at that event."""
        period = self.truth.period(np.arange(len(self)))
        taste: NDArray[np.int32] = self.truth.user_taste[period, self.users]
        return taste

    def since_change(self) -> NDArray[np.int64]:
        """[n] earlier events of the event's user under the same taste."""
        period = self.truth.period(np.arange(len(self)))
        pairs = period * self.truth.user_taste.shape[1] + self.users
        order = np.argsort(pairs, kind="stable")
        _, first, counts = np.unique(pairs[order], return_index=True, return_counts=True)
        places = np.empty(len(self), np.int64)
        places[order] = np.arange(len(self)) - np.repeat(first, counts)
        return places


class _Plan(NamedTuple):
    """All that is drawn before the events are, row by row."""

    user_count: NDArray[np.int64]
    """[n] users who are there, the new one of this row included."""
    item_count: NDArray[np.int64]
    """[n] items that can be chosen."""
    is_new_user: NDArray[np.bool_]
    """[n] whether the event is the first one of the newest user."""
    is_repeat: NDArray[np.bool_]
    """[n] whether the user goes back to an item, if there is one."""
    group: NDArray[np.int32]
    """[n] the group of a new item; -1: the user's taste."""
    period: NDArray[np.int64]
    """[n] changes of taste so far."""
    user_taste: NDArray[np.int32]
    """[changes + 1, U]"""
    activity: NDArray[np.float64]
    """[U] weights of the users up to each, summed."""
    popularity: NDArray[np.float64]
    """[groups, places] weights of a group's items up to each, summed; the item at a place is
    place * groups + group."""


class _History(NamedTuple):
    """What each user has had so far."""

    latest: NDArray[np.int64]
    """[U] the user's latest row under the present taste, -1 for none."""
    previous: NDArray[np.int64]
    """[n] the row before a row, of the same user and taste, -1 for none."""
    pairs: NDArray[np.int64]
    """[a power of 2] hash set with open addressing of user * items + item, -1 where free."""


def synthetic_stream(settings: SyntheticSettings, seed: int) -> SyntheticStream:
    """Draw a stream; the same settings and seed give the same one."""
    generator = np.random.default_rng(seed)
    truth = _truth(settings, generator)
    plan = _plan(settings, truth, generator)
    rows = settings.events
    history = _History(
        np.full(len(truth.user_from), -1),
        np.full(rows, -1),
        np.full(1 << (2 * rows).bit_length(), -1),
    )
    users, items = np.empty(rows, np.int32), np.empty(rows, np.int32)
    _draw_events(plan, history, generator, users, items)
    gaps = generator.exponential(1_000 * settings.gap_s, rows)
    ts = START_MS + (np.cumsum(gaps) - gaps[0]).astype(np.int64)
    return SyntheticStream(users, items, ts, truth, _item_weights(plan, truth))


def _truth(settings: SyntheticSettings, generator: np.random.Generator) -> SyntheticTruth:
    user_from = _arrivals(settings.users, settings.new_users, settings.events, generator)
    item_from = _arrivals(settings.items, settings.new_items, settings.events, generator)
    change_at = tuple(row for row in settings.change_at if row < settings.events)
    tastes = settings.tastes
    first = generator.integers(tastes, size=(1, len(user_from)))
    moves = generator.integers(1, tastes, size=(len(change_at), len(user_from)))
    return SyntheticTruth(
        item_taste=(np.arange(len(item_from)) % tastes).astype(np.int32),
        user_taste=(np.cumsum(np.concatenate([first, moves]), axis=0) % tastes).astype(np.int32),
        change_at=change_at,
        user_from=user_from,
        item_from=item_from,
    )


def _arrivals(
    at_first: int, rate: float, rows: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """[count] the row of each arrival: those of the beginning at 0, the others after it."""
    later = np.flatnonzero(generator.random(rows - 1) < rate) + 1
    return np.concatenate([np.zeros(at_first, np.int64), later])


def _plan(
    settings: SyntheticSettings, truth: SyntheticTruth, generator: np.random.Generator
) -> _Plan:
    rows, tastes = np.arange(settings.events), settings.tastes
    elsewhere = generator.random(len(rows)) >= settings.focus
    places = -(-len(truth.item_from) // tastes)
    return _Plan(
        user_count=np.searchsorted(truth.user_from, rows, side="right"),
        item_count=np.searchsorted(truth.item_from, rows, side="right"),
        is_new_user=np.isin(rows, truth.user_from[settings.users :]),
        is_repeat=generator.random(len(rows)) < settings.repeats,
        group=np.where(elsewhere, generator.integers(tastes, size=len(rows)), -1).astype(np.int32),
        period=truth.period(rows),
        user_taste=truth.user_taste,
        activity=_summed_weights(1, len(truth.user_from), settings.activity, generator)[0],
        popularity=_summed_weights(tastes, places, settings.popularity, generator),
    )


def _summed_weights(
    groups: int, places: int, exponent: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """[groups, places] Zipf's weights in random order, summed along each group."""
    weights = np.arange(1, places + 1, dtype=np.float64) ** -exponent
    shuffled = generator.permuted(np.tile(weights, (groups, 1)), axis=1)
    summed: NDArray[np.float64] = np.cumsum(shuffled, axis=1)
    return summed


def _item_weights(plan: _Plan, truth: SyntheticTruth) -> NDArray[np.float64]:
    """[I] the weight of each item in its group: the item at a place is place * groups + group."""
    by_place = np.diff(plan.popularity, axis=1, prepend=0.0)
    flat: NDArray[np.float64] = by_place.T.ravel()
    return flat[: len(truth.item_from)]


@compiled
def _draw_events(
    plan: _Plan,
    history: _History,
    generator: np.random.Generator,
    users: NDArray[np.int32],
    items: NDArray[np.int32],
) -> None:
    for row in range(len(users)):
        if row > 0 and plan.period[row] != plan.period[row - 1]:
            history.latest[:] = -1
        user, item = _draw_event(plan, history, generator, items, row)
        users[row], items[row] = user, item
        _remember(history.pairs, _pair(plan, user, item))
        history.previous[row] = history.latest[user]
        history.latest[user] = row


@compiled
def _draw_event(
    plan: _Plan,
    history: _History,
    generator: np.random.Generator,
    items: NDArray[np.int32],
    row: int,
) -> tuple[int, int]:
    """A user and an item; a user to whom hardly anything is new leaves the event to another."""
    for attempt in range(_TRIES):
        user = _user(plan, generator, row, attempt)
        if plan.is_repeat[row] and history.latest[user] >= 0:
            return user, items[_row_back(history, user, generator)]
        item = _new_item(plan, history, generator, row, user)
        if item >= 0:
            return user, item
    return user, _item(plan, generator, row, user)


@compiled
def _user(plan: _Plan, generator: np.random.Generator, row: int, attempt: int) -> int:
    """The new user of the row, or one who is there, by activity at first."""
    count = plan.user_count[row]
    if plan.is_new_user[row]:
        return int(count - 1)
    if attempt >= _TRIES // 2:
        return int(generator.random() * count)
    return _drawn(plan.activity, count, generator)


@compiled
def _row_back(history: _History, user: int, generator: np.random.Generator) -> int:
    """One of the user's rows under the present taste, the more recent the likelier."""
    row: int = history.latest[user]
    while history.previous[row] >= 0 and generator.random() < _STEP_BACK:
        row = history.previous[row]
    return row


@compiled
def _new_item(
    plan: _Plan, history: _History, generator: np.random.Generator, row: int, user: int
) -> int:
    """An item that the user has not had, -1 if none was found."""
    for _ in range(_TRIES):
        item = _item(plan, generator, row, user)
        if not _is_remembered(history.pairs, _pair(plan, user, item)):
            return item
    return -1


@compiled
def _item(plan: _Plan, generator: np.random.Generator, row: int, user: int) -> int:
    """An item of the row's group, by popularity."""
    groups = len(plan.popularity)
    group = np.int64(plan.group[row])
    if group < 0:
        group = np.int64(plan.user_taste[plan.period[row], user])
    there = (plan.item_count[row] - group + groups - 1) // groups
    return int(_drawn(plan.popularity[group], there, generator) * groups + group)


@compiled
def _drawn(summed: NDArray[np.float64], count: int, generator: np.random.Generator) -> int:
    """One of the first `count` places in proportion to its weight."""
    point = generator.random() * summed[count - 1]
    return min(int(np.searchsorted(summed[:count], point, side="right")), count - 1)


@compiled
def _pair(plan: _Plan, user: int, item: int) -> int:
    """One number for both."""
    return user * plan.popularity.size + item


@compiled
def _slot(pairs: NDArray[np.int64], pair: int) -> int:
    """Where a pair is, or the free place where it would be."""
    mixed = np.uint64(pair) * np.uint64(0x9E3779B97F4A7C15)
    slot = int(mixed >> np.uint64(32)) & (len(pairs) - 1)
    while pairs[slot] >= 0 and pairs[slot] != pair:
        slot = (slot + 1) & (len(pairs) - 1)
    return slot


@compiled
def _is_remembered(pairs: NDArray[np.int64], pair: int) -> bool:
    return bool(pairs[_slot(pairs, pair)] == pair)


@compiled
def _remember(pairs: NDArray[np.int64], pair: int) -> None:
    pairs[_slot(pairs, pair)] = pair
