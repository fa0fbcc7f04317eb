"""The gate: a candidate becomes a version only when it beats the live one on held-out events."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metarec_stream.learner.settings import GateSettings


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the paired test says."""

    events: int
    margin: float
    """By how much the candidate's mean loss is below the live version's."""
    standard_error: float
    """Of the margin."""
    passed: bool


class Gate:
    """A paired test over the newest events, each scored by both before either learned from it."""

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings
        self._differences = np.zeros(0, np.float64)
        self._decided = False

    def add(self, differences: NDArray[np.floating]) -> None:
        """Take up live minus candidate loss of the newest events, in order."""
        joined = np.concatenate([self._differences, differences.astype(np.float64)])
        self._differences = joined[-self._settings.window :]
        self._decided = False

    def reset(self) -> None:
        """Begin anew: candidate and live version have become the same."""
        self._differences = np.zeros(0, np.float64)

    def verdict(self) -> Verdict | None:
        """The decision, or None while there are too few events, or none since the last one."""
        events = len(self._differences)
        if self._decided or events < self._settings.minimum:
            return None
        self._decided = True
        margin = float(self._differences.mean())
        standard_error = float(self._differences.std(ddof=1)) / math.sqrt(events)
        passed = margin > self._settings.confidence * standard_error
        return Verdict(events, margin, standard_error, passed)
