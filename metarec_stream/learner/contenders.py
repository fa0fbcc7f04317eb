"""Which weights are held against the anchor and published: the newest, or the average."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Contender = Literal["candidate", "average"]

_HALF_LIFE = 2_048.0
"""Events after which what they told of both counts half: after a change of taste the candidate is
soon ahead, and the average again when it has caught up."""
_LEAD = 5e-4
"""Share of the loss by which one has to be ahead to take the other's place. Where they are about as
good they would take turns, and each turn is a version that goes to the consumers in full: no row of
the average is the candidate's."""


class Contenders(msgspec.Struct):
    """The losses of both on the events so far, each scored before anything learned from it."""

    candidate: float = 0.0
    """Sum of weighted losses, the newest counting most."""
    average: float = 0.0
    """The same."""
    chosen: Contender = "candidate"
    """The one of less loss, but for a lead that is too small to change over."""

    def note(
        self,
        candidate: NDArray[np.floating],
        average: NDArray[np.floating],
        weights: NDArray[np.floating],
    ) -> None:
        """Take up both losses of events [n], in order, and what each event weighs."""
        kept = 0.5 ** (len(weights) / _HALF_LIFE)
        self.candidate = kept * self.candidate + float(weights @ candidate)
        self.average = kept * self.average + float(weights @ average)
        if self.average < (1 - _LEAD) * self.candidate:
            self.chosen = "average"
        elif self.candidate < (1 - _LEAD) * self.average:
            self.chosen = "candidate"
