"""How fast a user's taste is found: users whom nothing was trained on, and a change of taste.

Quality is told after 0, 1, 2, ... events. The adaptation score is the area between a model's curve
and popularity's, over the number of events: the mean gain in HR@10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarec_stream.datasets.synthetic import SyntheticStream
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.dataset import EventTable, table_of
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.protocols.trial import Trial, chosen_rows, share_before
from metarec_stream.evaluate.stream import Questions

LAST_EVENT = 16
"""Of the curve."""
RANGES = ((1, 4), (5, 19), (20, 49))
"""Earlier events of a held-out user, both ends included."""
HELD_OUT_EVENTS = 50
HELD_OUT_SHARE = 0.2
"""Of the users."""
_SPAN = 0.1
"""Share of the training stream over which a user's events are spread."""

_MEASURE = "hr@10"


def held_out_users(table: EventTable, seed: int) -> Trial:
    """A fifth of the users come after all others, who alone are trained on; unseen items ranked.

    For data without times: all events have one. Users arrive one after the other, and each one's
    events follow in random order over the next tenth of the stream, so that at any time some are
    new. Of a held-out user the first 50 come. The outer loop stops before the first of them; what
    only counts (popularity, transitions) goes on, and learns one user's events for the others.
    """
    generator = np.random.default_rng(seed)
    users = np.unique(np.array(table.user), return_inverse=True)[1]
    count = int(users.max()) + 1
    if count < 2:
        raise Fatal("one user: there is nobody to be trained on while another is held out")
    is_held_out = np.zeros(count, np.bool_)
    held_out = max(1, round(HELD_OUT_SHARE * count))
    is_held_out[generator.permutation(count)[:held_out]] = True
    order = _staggered(users, generator)
    trained = order[~is_held_out[users[order]]]
    tested = order[is_held_out[users[order]]]
    tested = tested[_earlier(users[tested]) < HELD_OUT_EVENTS]
    replayed = chosen_rows(table, np.concatenate([trained, tested]))
    rows = len(replayed)
    share = share_before(len(trained), rows)
    protocol = Protocol(score_from=share, candidates="all", repeats="mask", learn_until=share)
    scored = np.arange(rows) >= len(trained)
    earlier = np.concatenate([np.zeros(len(trained), np.int64), _earlier(users[tested])])
    questions = Questions(np.ones(rows, np.bool_), None, _parts(earlier, scored))
    one_time = replace(replayed, ts=np.full(rows, table.ts[0]))
    return Trial(one_time, protocol, (_MEASURE, "mrr"), questions)


def changed_taste(stream: SyntheticStream) -> Trial:
    """The events from a planted change on of users who were there before it; unseen items ranked.

    Raises Fatal if there is no change in the stream.
    """
    if not stream.truth.change_at:
        raise Fatal("no taste changes in the synthetic stream: set synthetic.change_at")
    first = stream.truth.change_at[0]
    rows = np.arange(len(stream))
    were_there = np.zeros(len(stream.truth.user_from), np.bool_)
    were_there[stream.users[:first]] = True
    scored = (rows >= first) & were_there[stream.users]
    asked = scored | (rows < first)
    protocol = Protocol(score_from=share_before(first, len(stream)), repeats="mask")
    parts = _parts(stream.since_change(), scored)
    return Trial(table_of(stream), protocol, (_MEASURE, "mrr"), Questions(asked, None, parts))


def adaptation_curve(report: Mapping[str, Any]) -> list[float]:
    """HR@10 after 0, 1, ..., 16 events, from a model's report; raises Fatal if a part is empty."""
    curve = [report["slices"][_after(events)][_MEASURE] for events in range(LAST_EVENT + 1)]
    if None in curve:
        raise Fatal(f"nobody has {curve.index(None)} events before a scored one: no curve")
    return curve


def adaptation_score(report: Mapping[str, Any], popularity: Mapping[str, Any]) -> float:
    """The area between two curves over the 16 events they span: the mean gain in HR@10."""
    gain = np.subtract(adaptation_curve(report), adaptation_curve(popularity))
    return float(np.sum(gain[1:] + gain[:-1]) / 2 / LAST_EVENT)


def _after(events: int) -> str:
    return f"after {events}"


def _parts(earlier: NDArray[np.int64], scored: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """The scored rows by how many events came before: each number of the curve, and ranges."""
    curve = {_after(events): scored & (earlier == events) for events in range(LAST_EVENT + 1)}
    ranges = {
        f"after {first}-{last}": scored & (earlier >= first) & (earlier <= last)
        for first, last in RANGES
    }
    return curve | ranges


def _staggered(users: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """[n] rows by random moments: a user's arrival, and up to a tenth of the stream after it."""
    arrival = generator.random(int(users.max()) + 1)
    order: NDArray[np.int64] = np.argsort(arrival[users] + _SPAN * generator.random(len(users)))
    return order


def _earlier(users: NDArray[np.int64]) -> NDArray[np.int64]:
    """[n] earlier rows of the row's user."""
    order = np.argsort(users, kind="stable")
    _, first, counts = np.unique(users[order], return_index=True, return_counts=True)
    earlier = np.empty(len(users), np.int64)
    earlier[order] = np.arange(len(users)) - np.repeat(first, counts)
    return earlier
