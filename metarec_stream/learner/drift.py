"""Watches the live version's loss for changes that its users did not announce."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from river.drift import ADWIN

from metarec_stream.metrics import LearnerMetrics

logger = structlog.get_logger()


class DriftWatch:
    """ADWIN (Bifet & Gavalda 2007) over the losses, each before anything learned from it.

    Its window grows while the mean is steady and is cut where the mean changed: its mean is the
    recent loss, and a cut is a drift. Both are exported; what to do about a drift is not decided
    here.
    """

    def __init__(self, metrics: LearnerMetrics) -> None:
        self._metrics = metrics
        self._adwin = ADWIN()

    def watch(self, losses: Sequence[float]) -> int:
        """Take up the losses of events, in order; how many drifts they showed."""
        drifts = 0
        for loss in losses:
            before = self._adwin.estimation
            self._adwin.update(loss)
            if self._adwin.drift_detected:
                drifts += 1
                self._metrics.drifts.inc()
                logger.info("drift", loss_before=before, loss_now=self._adwin.estimation)
        self._metrics.recent_loss.set(self._adwin.estimation)
        return drifts
