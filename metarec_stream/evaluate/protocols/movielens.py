"""Protocols on MovieLens 100K: those of FluRS and CoPE, and unseen items of the last tenth.

T. Kitazawa: Incremental Factorization Machines for Persistently Cold-starting Online Item
Recommendation. arXiv:1607.02858, 2016 (its evaluation is that of the library FluRS).
Y. Zhang, Y. Xiong, D. Li, C. Shan, K. Ren, Y. Zhu: CoPE: Modeling Continuous Propagation and
Evolution on Interaction Graph. CIKM 2021.
"""

from __future__ import annotations

import numpy as np

from metarec_stream.errors import Fatal
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.protocols.trial import Trial, chosen_rows, share_before

_BEST_RATING = 5.0
_LEAST_EVENTS = 5


def flurs(table: EventTable) -> Trial:
    """Ratings of 5 as events: the first 20 % and the next 10 % are learned, the last 70 % scored.

    Candidates are the items of earlier events that the user has not had. FluRS adds an event's
    item if it is new to all; here that is a miss, which Recall@10 does not tell apart: a new item
    has no count. Raises Fatal if the table has no values.
    """
    if table.value is None:
        raise Fatal("FluRS scores ratings of 5: the table needs a column of values")
    kept = chosen_rows(table, np.flatnonzero(table.value == _BEST_RATING))
    learned = int(0.2 * len(kept)) + int(0.1 * len(kept))
    protocol = Protocol(
        score_from=share_before(learned, len(kept)), candidates="seen", repeats="mask"
    )
    return Trial(kept, protocol, ("hr@10",))


def cope(table: EventTable, least: int = _LEAST_EVENTS) -> Trial:
    """80/10/10 by time, all items ranked, nothing masked, ties last; events of one time together.

    As in CoPE's files, users and items of fewer than `least` events are left out, again until
    there is none.
    """
    protocol = Protocol(
        score_from=0.9,
        candidates="all",
        repeats="include",
        ties="pessimistic",
        simultaneous="together",
    )
    return Trial(_core(table, least), protocol, ("mrr", "hr@10"))


def unseen_last_tenth(table: EventTable) -> Trial:
    """The last tenth of all ratings against every item that the user has not had."""
    protocol = Protocol(score_from=0.9, candidates="all", repeats="mask")
    return Trial(table, protocol, ("hr@10", "mrr"))


def _core(table: EventTable, least: int) -> EventTable:
    users = np.unique(np.array(table.user), return_inverse=True)[1]
    items = np.unique(np.array(table.item), return_inverse=True)[1]
    rows = np.arange(len(table))
    while True:
        enough = (np.bincount(users[rows]) >= least)[users[rows]]
        enough &= (np.bincount(items[rows]) >= least)[items[rows]]
        if enough.all():
            return chosen_rows(table, rows)
        rows = rows[enough]
