"""Measures of ranked targets, from how many candidates scored above and equal to them.

MRR, HR@k and nDCG@10 of one relevant item per event, as the literature on next-item
recommendation defines them; a target that is no candidate is a scored miss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metarec_stream.evaluate.calibration import calibration
from metarec_stream.evaluate.protocol import Protocol, Ties
from metarec_stream.evaluate.stream import Stream

HIT_RATES = (1, 5, 10, 20)
LIST_LENGTH = 10
"""Of nDCG, coverage, and the MRR that counts nothing beyond."""
NEW_USER_EVENTS = 5
"""A user with fewer earlier events is a new one."""
MEASURES = (
    "mrr", f"mrr@{LIST_LENGTH}", *(f"hr@{k}" for k in HIT_RATES), f"ndcg@{LIST_LENGTH}"
)  # fmt: skip
"""Of ranked events, by name."""

Measures = dict[str, float | int | None]


@dataclass(frozen=True, slots=True)
class RankedEvents:
    """What a model made of the events it ranked, each before it learned it."""

    rows: NDArray[np.int64]
    """[m] rows of the stream, ascending."""
    candidate: NDArray[np.bool_]
    """[m] whether the target was a candidate at all."""
    greater: NDArray[np.int32]
    """[m] candidates that scored above the target."""
    equal: NDArray[np.int32]
    """[m] candidates that scored the same, the target included."""
    lists: NDArray[np.int32]
    """[m, k] item numbers of the stream, best first, -1 pads."""
    seconds: float
    """Spent on the whole stream, learning included."""
    probability: NDArray[np.float32] | None = None
    """[m, k] that the event is on each item of its list, where the model says so."""

    def of(self, rows: NDArray[np.int64]) -> RankedEvents:
        """The part on these rows."""
        at = np.isin(self.rows, rows, assume_unique=True)
        return RankedEvents(
            rows=self.rows[at],
            candidate=self.candidate[at],
            greater=self.greater[at],
            equal=self.equal[at],
            lists=self.lists[at],
            seconds=self.seconds,
            probability=None if self.probability is None else self.probability[at],
        )


def ranks(ranked: RankedEvents, ties: Ties) -> NDArray[np.float64]:
    """[m] the target's rank from 1, infinite where it was no candidate.

    `mid`: the middle of the equal ones (1 + greater + (equal - 1) / 2); `pessimistic`: the last.
    """
    place = 1.0 + ranked.greater + (ranked.equal - 1) / 2
    if ties == "pessimistic":
        place = (ranked.greater + ranked.equal).astype(np.float64)
    return np.where(ranked.candidate, place, np.inf)


def measures(rank: NDArray[np.float64]) -> Measures:
    """Means over the events; None where there is no event."""
    if not len(rank):
        return {**dict.fromkeys(MEASURES), "scored": 0}
    gain = np.where(rank <= LIST_LENGTH, 1 / np.log2(1 + rank), 0.0)
    return {
        "mrr": float(np.mean(1 / rank)),
        f"mrr@{LIST_LENGTH}": float(np.mean(np.where(rank <= LIST_LENGTH, 1 / rank, 0.0))),
        **{f"hr@{k}": float(np.mean(rank <= k)) for k in HIT_RATES},
        f"ndcg@{LIST_LENGTH}": float(np.mean(gain)),
        "scored": len(rank),
    }


def coverage(lists: NDArray[np.int32], items: int) -> float:
    """Share of all items that appeared in any event's first ten."""
    shown = np.unique(lists[:, :LIST_LENGTH])
    return float(np.count_nonzero(shown >= 0) / items)


def report(ranked: RankedEvents, stream: Stream, protocol: Protocol) -> dict[str, object]:
    """One model's entry of the result: measures over the scored events, and by slice."""
    part = ranked.of(stream.scored(protocol))
    rank = ranks(part, protocol.ties)
    repeat, new = stream.repeat[part.rows], stream.earlier[part.rows] < NEW_USER_EVENTS
    slices = {"repeat": repeat, "novel": ~repeat, "new_user": new}
    slices |= {name: asked_for[part.rows] for name, asked_for in stream.parts.items()}
    found = measures(rank)
    scored = found.pop("scored")
    stated = part.probability
    targets = stream.items[part.rows]
    return {
        **found,
        f"coverage@{LIST_LENGTH}": coverage(part.lists, len(stream.item_ids)),
        "scored": scored,
        "events_per_second": len(stream) / max(ranked.seconds, 1e-9),
        "calibration": None if stated is None else calibration(stated, part.lists, targets),
        "slices": {name: measures(rank[at]) for name, at in slices.items()},
    }
