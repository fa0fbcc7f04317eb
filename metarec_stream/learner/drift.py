"""Watches the live version's loss for changes that its users did not announce."""

from __future__ import annotations

import numpy as np
import structlog
from numpy.typing import NDArray
from river.drift import ADWIN

from metarec_stream.metrics import LearnerMetrics

logger = structlog.get_logger()

_EVENTS_OF_A_MEAN = 32


class DriftWatch:
    """ADWIN (Bifet & Gavalda 2007) over the losses of events, before anything learned from them.

    Its window grows while the mean is steady and is cut where the mean changed: its mean is the
    recent loss, and a cut is a drift. Both are exported; what to do about a drift is not decided
    here. It is fed means of a few events: those of one user come together and are alike, which
    ADWIN, made for independent values, would take for one drift after another.
    """

    def __init__(self, metrics: LearnerMetrics) -> None:
        self._metrics = metrics
        self._adwin = ADWIN(clock=8)

    def watch(self, losses: NDArray[np.floating]) -> bool:
        """Take up a block's losses; whether they show a drift."""
        drifted = False
        for start in range(0, len(losses), _EVENTS_OF_A_MEAN):
            before = self._adwin.estimation
            self._adwin.update(float(losses[start : start + _EVENTS_OF_A_MEAN].mean()))
            if self._adwin.drift_detected:
                drifted = True
                now = self._adwin.estimation
                self._metrics.drifts.inc()
                logger.info("drift", loss_before=round(before, 3), loss_now=round(now, 3))
        self._metrics.recent_loss.set(self._adwin.estimation)
        return drifted
