"""CHAMELEON's negatives: other clicks of the same batch of sessions and of the last hour.

Sessions are gone through as CHAMELEON's program does: by the hour they began in, in order of their
id, in batches of 256. A batch's pool is its own clicks and 3,000 of the last hour's, of which 1,000
are drawn; so what was clicked often is drawn often. Each next click of a session is ranked among
50 different items of the pool that are not in the session.

After every fifth hour the following one is evaluated, and then trained on like any other: what its
evaluation left in the buffer of recent clicks is forgotten in between.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.pipeline.draw import draw_below

NEGATIVES = 50
LONGEST = 20
"""Clicks of a session that are read."""
_BATCH = 256
"""Sessions."""
_FROM_BUFFER = 3_000
_POOL = 20 * NEGATIVES
_BUFFER = 20_000
_HOUR_MS = 3_600_000


class Sessions(NamedTuple):
    """S sessions of at least two clicks, by hour and id; c clicks of n rows."""

    rows: NDArray[np.int64]
    """[c] rows of the table, session by session."""
    first: NDArray[np.int64]
    """[S] place of a session's first click in `rows`."""
    length: NDArray[np.int64]
    """[S]"""
    hour: NDArray[np.int64]
    """[S]"""
    items: NDArray[np.int64]
    """[n] numbers of the rows' items."""
    known_at: NDArray[np.int64]
    """[c] milliseconds: a session's last click counts as of the one before it, as its own time is
    not read."""


def sessions_of(table: EventTable, session: NDArray[np.int64], hour: NDArray[np.int64]) -> Sessions:
    """The sessions of a table in the order of time, cut at their 20th click."""
    order = np.lexsort((np.arange(len(table)), session, hour))
    begins = np.ones(len(order), np.bool_)
    begins[1:] = np.diff(session[order]) != 0
    begins[1:] |= np.diff(hour[order]) != 0
    start = np.flatnonzero(begins)
    place = np.arange(len(order)) - np.repeat(start, np.diff(start, append=len(order)))
    length = np.minimum(np.diff(start, append=len(order)), LONGEST)
    kept = (place < LONGEST) & np.repeat(length > 1, np.diff(start, append=len(order)))
    rows, length = order[kept], length[length > 1]
    first = np.cumsum(length) - length
    known_at = table.ts[rows].copy()
    known_at[first + length - 1] = table.ts[rows[first + length - 2]]
    items = np.unique(np.array(table.item), return_inverse=True)[1]
    return Sessions(rows, first, length, hour[rows[first]], items, known_at)


def negatives_by_row(sessions: Sessions, trained_hours: int, seed: int) -> NDArray[np.int64]:
    """[n, 50] rows on whose items each next click is ranked, -1 pads.

    Of the hours that are trained on before the first evaluated one, and of the evaluated hours.
    """
    negatives = np.full((len(sessions.items), NEGATIVES), -1, np.int64)
    state = np.full(1, seed, np.uint64)
    buffer = np.zeros((0, 2), np.int64)
    hours = np.unique(sessions.hour)
    for start in range(0, len(hours), trained_hours):
        end = start + trained_hours
        for batch in _batches(sessions, hours[start:end]):
            if start == 0:
                _draw(sessions, batch, buffer[:, 0], state, negatives)
            buffer = _after(sessions, batch, buffer)
        passing = buffer
        for batch in _batches(sessions, hours[end : end + 1]):
            _draw(sessions, batch, passing[:, 0], state, negatives)
            passing = _after(sessions, batch, passing)
    return negatives


def _batches(sessions: Sessions, hours: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    numbers = np.flatnonzero(np.isin(sessions.hour, hours))
    return [numbers[start : start + _BATCH] for start in range(0, len(numbers), _BATCH)]


def _after(
    sessions: Sessions, batch: NDArray[np.int64], buffer: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The buffer [b, 2] of rows and times with a batch's clicks, newest first."""
    end = sessions.first[batch[-1]] + sessions.length[batch[-1]]
    clicks = slice(sessions.first[batch[0]], end)
    added = np.stack([sessions.rows[clicks], sessions.known_at[clicks]], axis=1)[::-1]
    recent = buffer[buffer[:, 1] >= added[:, 1].min() - _HOUR_MS]
    return np.concatenate([added, recent])[:_BUFFER]


@compiled
def _draw(
    sessions: Sessions,
    batch: NDArray[np.int64],
    buffer: NDArray[np.int64],
    state: NDArray[np.uint64],
    negatives: NDArray[np.int64],
) -> None:
    """Fill in the negatives of a batch's next clicks."""
    begin = sessions.first[batch[0]]
    end = sessions.first[batch[-1]] + sessions.length[batch[-1]]
    recent = buffer.copy()
    taken = _shuffle_first(recent, _FROM_BUFFER, state)
    pool = np.concatenate((sessions.rows[begin:end], recent[:taken]))
    pool = pool[: _shuffle_first(pool, _POOL, state)]
    for session in batch:
        _draw_session(sessions, session, pool, state, negatives)


@compiled
def _shuffle_first(values: NDArray[np.int64], count: int, state: NDArray[np.uint64]) -> int:
    """Put a random choice of so many values, or of all there are, first; how many those are."""
    taken = min(count, len(values))
    for place in range(taken):
        _put_random_here(values, place, len(values), state)
    return taken


@compiled
def _put_random_here(
    values: NDArray[np.int64], place: int, count: int, state: NDArray[np.uint64]
) -> None:
    other = place + draw_below(state, count - place)
    values[place], values[other] = values[other], values[place]


@compiled
def _draw_session(
    sessions: Sessions,
    session: int,
    pool: NDArray[np.int64],
    state: NDArray[np.uint64],
    negatives: NDArray[np.int64],
) -> None:
    begin = sessions.first[session]
    own = sessions.rows[begin : begin + sessions.length[session]]
    others = np.empty(len(pool), np.int64)
    count = 0
    for row in pool:
        if not _holds(sessions, own, len(own), row):
            others[count] = row
            count += 1
    for row in own[1:]:
        found = 0
        for place in range(count):
            _put_random_here(others, place, count, state)
            if not _holds(sessions, negatives[row], found, others[place]):
                negatives[row, found] = others[place]
                found += 1
                if found == negatives.shape[1]:
                    break


@compiled
def _holds(sessions: Sessions, rows: NDArray[np.int64], count: int, row: int) -> bool:
    """Whether one of the first rows is on the same item as a row."""
    place = 0
    while place < count and sessions.items[rows[place]] != sessions.items[row]:
        place += 1
    return place < count
