"""The protocol: which events are scored, against which candidates, and how ties count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Candidates = Literal["seen", "all"]
Repeats = Literal["include", "mask"]
Ties = Literal["mid", "pessimistic"]
Simultaneous = Literal["in_order", "together"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a prequential evaluation is scored; the same for every model."""

    score_from: float = 0.5
    """Share of the rows after which events are scored; all of them are learned."""
    candidates: Candidates = "seen"
    """`seen`: items of earlier events; `all`: of the whole file."""
    repeats: Repeats = "include"
    """`mask`: what the user already had is no candidate, and events on it are not scored."""
    negatives: int = 0
    """Above 0: the target is ranked among this many candidates drawn at random, not all."""
    ties: Ties = "mid"
    """Rank among equal scores: the middle of them, or the last."""
    simultaneous: Simultaneous = "in_order"
    """`together`: all events of one time are ranked before any of them is applied."""
    learn_until: float = 1.0
    """Share of the rows after which the outer loop learns nothing more, and publishes nothing."""

    def first_scored(self, rows: int) -> int:
        """The row from which events are scored, of a stream of this many."""
        return _row_at(self.score_from, rows)

    def first_frozen(self, rows: int) -> int:
        """The row from which the outer loop has stopped, of a stream of this many."""
        return _row_at(self.learn_until, rows)


def _row_at(share: float, rows: int) -> int:
    # 0.29 * 100 is 28.999…: a hair above the product keeps the share's own row.
    return min(int(rows * share + 1e-6), rows)
