"""Protocols on Globo.com's news clicks: CHAMELEON's, and unseen among all items seen so far.

G. de Souza P. Moreira, D. Jannach, A. M. da Cunha: Contextual Hybrid Session-Based News
Recommendation With Recurrent Neural Networks. IEEE Access 7, 2019 (program: its NAR module).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarec_stream.errors import Fatal
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.protocols.recent_negatives import (
    Sessions,
    negatives_by_row,
    sessions_of,
)
from metarec_stream.evaluate.protocols.trial import Trial, share_before
from metarec_stream.evaluate.stream import Questions

TRAINED_HOURS = 5
"""Between two hours that are evaluated."""


def hour_by_hour(
    table: EventTable, session: NDArray[np.int64], hour: NDArray[np.int64], seed: int
) -> Trial:
    """Every fifth hour from the sixth on: the next click of a session against 50 recent ones.

    session, hour [n]: of each row, the hour that of the session's beginning. A session's first
    click is not scored, nor are those after its 20th. Settings are chosen on the first five hours,
    against negatives drawn the same way. Raises Fatal if there are not that many hours.
    """
    hours = np.unique(hour)
    evaluated = hours[TRAINED_HOURS::TRAINED_HOURS]
    if not len(evaluated):
        raise Fatal(f"{len(hours)} hours of clicks: the protocol trains on {TRAINED_HOURS} first")
    sessions = sessions_of(table, session, hour)
    labels = _labels(sessions, len(table))
    scored = labels & np.isin(hour, evaluated)
    first = int(np.flatnonzero(scored)[0])
    chosen_on = labels & (hour < evaluated[0]) & (np.arange(len(table)) < first)
    asked = scored | chosen_on
    questions = Questions(
        asked,
        negatives_by_row(sessions, TRAINED_HOURS, seed)[asked],
        {f"hour {number}": scored & (hour == number) for number in evaluated.tolist()},
    )
    protocol = Protocol(
        score_from=share_before(first, len(table)), candidates="all", repeats="include"
    )
    return Trial(table, protocol, ("hr@10", "mrr@10"), questions)


def seen_so_far(table: EventTable) -> Trial:
    """The last half of a stream among all items clicked so far that the user has not had."""
    protocol = Protocol(score_from=0.5, candidates="seen", repeats="mask")
    return Trial(table, protocol, ("hr@10", "mrr"))


def _labels(sessions: Sessions, rows: int) -> NDArray[np.bool_]:
    """[n] the rows that are the next click of a session."""
    labels = np.zeros(rows, np.bool_)
    labels[sessions.rows] = True
    labels[sessions.rows[sessions.first]] = False
    return labels
