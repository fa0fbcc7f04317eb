"""What became of a batch's records, as metrics; and once a warning where keys are not the users."""

from __future__ import annotations

import structlog

from metarec_stream.config import Settings
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.accept import Accepted

_MISPLACED = (
    "the key is not the user id, or its partition not the one that murmur2 leads to: users may be "
    "split over two partitions; with librdkafka set partitioner=murmur2_random"
)

log = structlog.get_logger()


class OutcomeMetrics:
    """Counts records by outcome, rejections by reason, and the share of events that is sampled."""

    def __init__(self, metrics: ConsumerMetrics, settings: Settings) -> None:
        self._metrics = metrics
        self._learn = settings.learn
        self._warned_misplaced = False

    def count(self, accepted: Accepted) -> None:
        """Take in a batch."""
        for (kind, outcome), count in accepted.outcomes.items():
            self._metrics.events.labels(kind, outcome).inc(count)
        for reason, count in accepted.rejections.items():
            self._metrics.rejected.labels(reason).inc(count)
        if accepted.users:
            sampled = min(1.0, self._learn.sample_per_batch / len(accepted))
            self._metrics.sample_share.set(min(self._learn.sample, sampled))
        if accepted.misplaced:
            self._metrics.misplaced.inc(len(accepted.misplaced))
            if not self._warned_misplaced:
                self._warned_misplaced = True
                log.warning("interaction_misplaced", where=accepted.misplaced[0], advice=_MISPLACED)
