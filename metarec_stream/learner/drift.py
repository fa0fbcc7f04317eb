"""Watches the live version's loss for changes that its users did not announce."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import structlog
from numpy.typing import NDArray
from river.drift import ADWIN

from metarec_stream.metrics import LearnerMetrics

logger = structlog.get_logger()

_EVENTS_OF_A_MEAN = 32
_LONGEST = 65_536
"""Means that are kept; then the watch begins again on the newer half: two million events are more
than a drift takes to show, and bound what a checkpoint carries."""


class DriftWatch:
    """ADWIN (Bifet & Gavalda 2007) over the losses of events, before anything learned from them.

    Its window grows while the mean is steady and is cut where the mean changed: its mean is the
    recent loss, its length says how long ago the mean was last another, and a cut is a drift. Both
    are exported; what to do about a drift is not decided here. It is fed means of a few events:
    those of one user come together and are alike, which ADWIN, made for independent values, would
    take for one drift after another.
    """

    def __init__(self, metrics: LearnerMetrics) -> None:
        self._metrics = metrics
        self.found = 0
        """Drifts since this process began."""
        self._begin(())

    @property
    def recent_loss(self) -> float:
        """The mean over ADWIN's window."""
        return float(self._adwin.estimation)

    @property
    def recent_events(self) -> int:
        """How many of the newest events ADWIN's window holds: since the last drift, about."""
        return int(self._adwin.width) * _EVENTS_OF_A_MEAN

    def watch(self, losses: NDArray[np.floating]) -> float:
        """Take up a block's losses; by how much drifts in it raised the recent loss, or 0."""
        risen = 0.0
        for start in range(0, len(losses), _EVENTS_OF_A_MEAN):
            before = self._adwin.estimation
            self._take(float(losses[start : start + _EVENTS_OF_A_MEAN].mean()))
            if self._adwin.drift_detected:
                risen += self.recent_loss - before
                self.found += 1
                self._metrics.drifts.inc()
                logger.info(
                    "drift", loss_before=round(before, 3), loss_now=round(self.recent_loss, 3)
                )
            if len(self._means) == _LONGEST:
                self._begin(self._means[_LONGEST // 2 :])
        self._metrics.recent_loss.set(self._adwin.estimation)
        return risen

    def means(self) -> NDArray[np.float64]:
        """All that it knows: fed to another watch, they make it the same."""
        return np.array(self._means, np.float64)

    def restore(self, means: NDArray[np.float64]) -> None:
        """Become what the watch was that gave these."""
        self._begin(means.tolist())

    def _begin(self, means: Iterable[float]) -> None:
        # river's ADWIN cannot be written down without pickle; what it was fed can.
        self._adwin = ADWIN(clock=8, min_window_length=1)
        self._means: list[float] = []
        for mean in means:
            self._take(mean)

    def _take(self, mean: float) -> None:
        self._means.append(mean)
        self._adwin.update(mean)
