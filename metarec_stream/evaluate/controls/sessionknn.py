"""`sessionknn`: what the most similar recent sessions had, then popularity (Jannach, Ludewig 2017).

A stream says nothing of sessions: the current one is the user's latest items, and the ones that
are looked up are all users' outcomes, cut into sessions of as many items.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.catalogue.top_k import least_of_largest
from metarec_stream.compiled import compiled
from metarec_stream.evaluate.controls.followed import (
    Followed,
    Mixed,
    fill_followed,
    follow,
    hold_back,
    nobody_followed,
    rank_mixed,
)
from metarec_stream.evaluate.controls.ranking import (
    Ranking,
    appear,
    is_ranked,
    rank_event,
    ranked_events,
    start_ranking,
)
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream

LATEST_SESSIONS = 500
"""Of an item, among which similar ones are looked for."""


class Similar(NamedTuple):
    """Settings of the neighbourhood."""

    length: int
    """Items of a session, of the current one as of those that are looked up."""
    sessions: int
    """Most similar ones that count."""
    fading: float
    """The current session's item of rank r weighs e^(-fading r): 0 in the paper, and above it in
    its successor V-SKNN (Ludewig, Jannach 2018)."""


SETTINGS = tuple(
    Similar(length, sessions, fading)
    for length, fadings in ((10, (0.0, 0.3, 1.0)), (30, (0.05, 0.2)), (128, (0.02,)))
    for sessions in (100, 500)
    for fading in fadings
)


class Sessions(NamedTuple):
    """Letters: U users, N items, S sessions, L items of one, M latest sessions of an item."""

    items: NDArray[np.int32]
    """[S, L] distinct ones of each session."""
    length: NDArray[np.int32]
    """[S] items in use."""
    started: NDArray[np.int64]
    """[1] sessions so far."""
    current: NDArray[np.int64]
    """[U] the user's session that is not full yet, -1 for none."""
    latest: NDArray[np.int64]
    """[N, M] a ring of the sessions with the item."""
    had: NDArray[np.int64]
    """[N] sessions with the item so far."""
    similarity: NDArray[np.float64]
    """[S] zero between two ranked events."""


def sessionknn(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """Rank by similar sessions' items; the settings are the best before the scored part."""
    return rank_mixed(stream, protocol, seed, SETTINGS, rank_by_sessions)


def rank_by_sessions(
    stream: Stream,
    protocol: Protocol,
    mixed: Mixed[Similar],
    seed: int,
    part: slice,
    list_length: int = 0,
) -> RankedEvents:
    """Go through the stream up to the part's end, and rank the outcomes in the part."""
    ranking = start_ranking(stream, protocol, seed, part, list_length)
    similar = mixed.own
    followed = nobody_followed(stream, similar.length, mixed)
    sessions = no_sessions(stream, similar)
    _rank(ranking, followed, sessions, similar)
    return ranked_events(ranking)


def no_sessions(stream: Stream, similar: Similar) -> Sessions:
    """Before the first event, with room for all that the stream can start."""
    users, items = len(stream.user_ids), len(stream.item_ids)
    room = users + len(stream) // similar.length
    return Sessions(
        items=np.zeros((room, similar.length), np.int32),
        length=np.zeros(room, np.int32),
        started=np.zeros(1, np.int64),
        current=np.full(users, -1, np.int64),
        latest=np.zeros((items, LATEST_SESSIONS), np.int64),
        had=np.zeros(items, np.int64),
        similarity=np.zeros(room),
    )


@compiled
def _rank(ranking: Ranking, followed: Followed, sessions: Sessions, similar: Similar) -> None:
    for row in range(len(ranking.users)):
        user = ranking.users[row]
        if is_ranked(ranking, row):
            fill_followed(followed, ranking.known[0], ranking.scores)
            recent = followed.recent[user, : followed.recent_count[user]]
            found = _similar_sessions(sessions, recent, sessions.current[user], similar.fading)
            _add_neighbours(sessions, found, similar.sessions, ranking.scores)
            hold_back(followed, user, ranking.scores)
            rank_event(ranking, row)
        appear(ranking, row)
        if ranking.outcome[row]:
            follow(followed, user, ranking.items[row])
            _extend_session(sessions, user, ranking.items[row])


@compiled
def _similar_sessions(
    sessions: Sessions, recent: NDArray[np.int32], own: int, fading: float
) -> NDArray[np.int64]:
    """Fill in the similarity of sessions but the user's own, and return which ones have any.

    The cosine, but for the current session's norm: that is the same for all.
    """
    rings = sessions.latest.shape[1]
    found = np.empty(len(recent) * rings, np.int64)
    count = 0
    for rank in range(len(recent)):
        weight = math.exp(-fading * rank)
        item = recent[rank]
        for place in range(min(sessions.had[item], rings)):
            session = sessions.latest[item, place]
            if session == own:
                continue
            if sessions.similarity[session] == 0.0:
                found[count] = session
                count += 1
            sessions.similarity[session] += weight / math.sqrt(sessions.length[session])
    return found[:count]


@compiled
def _add_neighbours(
    sessions: Sessions, found: NDArray[np.int64], neighbours: int, scores: NDArray[np.float64]
) -> None:
    """An item's score grows by the share of the similarity that the sessions with it have."""
    similarity = sessions.similarity[found]
    least = 0.0
    if len(found) > neighbours:
        least = least_of_largest(similarity.copy(), neighbours)
    total = 0.0
    for place in range(len(found)):
        if similarity[place] >= least:
            total += similarity[place]
    for place in range(len(found)):
        session = found[place]
        sessions.similarity[session] = 0.0
        if similarity[place] < least:
            continue
        for item in sessions.items[session, : sessions.length[session]]:
            scores[item] += similarity[place] / total


@compiled
def _extend_session(sessions: Sessions, user: int, item: int) -> None:
    """The item joins the user's session, or starts another where that is full."""
    session = sessions.current[user]
    if session < 0 or sessions.length[session] == sessions.items.shape[1]:
        session = sessions.started[0]
        sessions.started[0] += 1
        sessions.current[user] = session
    used = sessions.length[session]
    for place in range(used):
        if sessions.items[session, place] == item:
            return
    sessions.items[session, used] = item
    sessions.length[session] = used + 1
    sessions.latest[item, sessions.had[item] % sessions.latest.shape[1]] = session
    sessions.had[item] += 1
