"""JODIE's protocol: predict each interaction of the last tenth, then update with it.

S. Kumar, X. Zhang, J. Leskovec: Predicting Dynamic Embedding Trajectory in Temporal Interaction
Networks. KDD 2019.
"""

from __future__ import annotations

from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.protocols.trial import Trial


def jodie(table: EventTable) -> Trial:
    """Any file of user, item and time: 80/10/10 by time, all its items ranked, repeats included.

    Settings are chosen on the first nine tenths; the last tenth is scored.
    """
    protocol = Protocol(score_from=0.9, candidates="all", repeats="include")
    return Trial(table, protocol, ("mrr", "hr@10"))
