"""The gate: what is learned is published only while it beats what was, on held-out events."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metarec_stream.learner.settings import GateSettings

Outcome = Literal["published", "held", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the paired test says."""

    events: int
    margin: float
    """By how much the candidate's mean loss is below the anchor's."""
    standard_error: float
    """Of the margin."""
    outcome: Outcome


class Gate:
    """A paired test of the candidate against an anchor: what the candidate was some time ago.

    Every event is scored by both before the candidate learns from it. Two versions that are a
    block apart differ by less than any one test can tell; against an anchor that stands still the
    gain adds up, so versions can follow each other as fast as blocks are learned. A margin of
    `confidence` standard errors lends trust for `window` events: while it lasts, whatever is ahead
    of the anchor is published. A margin twice as far below zero withdraws what was learned since.
    """

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings
        self._differences = np.zeros(0, np.float64)
        self._decided = True
        self.trust = 0
        """Events for which a passed test still counts."""

    def add(self, differences: NDArray[np.floating]) -> None:
        """Take up anchor minus candidate loss of the newest events, in order."""
        joined = np.concatenate([self._differences, differences.astype(np.float64)])
        self._differences = joined[-self._settings.window :]
        self.trust = max(0, self.trust - len(differences))
        self._decided = False

    def new_anchor(self) -> None:
        """The candidate as it is has become the anchor: nothing is known of their difference."""
        self._differences = np.zeros(0, np.float64)

    def after_drift(self) -> None:
        """The users changed: what came before tells nothing, and who is ahead now is trusted."""
        self._differences = self._differences[-self._settings.minimum :]
        if len(self._differences) == self._settings.minimum:  # else nobody is known to be ahead
            self.trust = self._settings.window

    def differences(self) -> NDArray[np.float64]:
        """Those that a decision rests on."""
        return self._differences.copy()

    @property
    def decided(self) -> bool:
        """Whether there was a decision since the newest differences."""
        return self._decided

    def restore(self, differences: NDArray[np.floating], decided: bool, trust: int) -> None:
        """Become what a gate was that had these."""
        self._differences = differences.astype(np.float64)
        self._decided = decided
        self.trust = trust

    def verdict(self) -> Verdict | None:
        """The decision; None without anything new since the last one, or too little to decide on.

        With too little, trust that lasts is enough to publish.
        """
        events = len(self._differences)
        enough = events >= self._settings.minimum
        if self._decided or not (enough or self.trust):
            return None
        self._decided = True
        margin = float(self._differences.mean()) if events else 0.0
        spread = float(self._differences.std(ddof=1)) if events > 1 else 0.0
        standard_error = spread / math.sqrt(max(events, 1))
        outcome = self._outcome(enough, margin, standard_error)
        return Verdict(events, margin, standard_error, outcome)

    def _outcome(self, enough: bool, margin: float, standard_error: float) -> Outcome:
        if not enough:
            return "published"
        certain = self._settings.confidence * standard_error
        if margin > certain:
            self.trust = self._settings.window
            return "published"
        if margin < -2 * certain:
            self.trust = 0
            return "withdrawn"
        return "published" if self.trust and margin > 0 else "held"
