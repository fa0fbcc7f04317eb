"""The consumer's main loop: a batch, then whatever has to happen between two batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from metarec_stream.clock import Clock
from metarec_stream.config import Settings
from metarec_stream.contract.transport import History, Source, Transaction
from metarec_stream.crash_points import crash_point
from metarec_stream.errors import Fatal
from metarec_stream.kafka.rebalance import Rebalance
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.batch import Batches
from metarec_stream.service.catalogue_feed import CatalogueFeed, ProfileFeed
from metarec_stream.service.health import Readiness
from metarec_stream.service.stop import StopSignal
from metarec_stream.service.takeover import Takeover
from metarec_stream.service.versions import VersionFeed

if TYPE_CHECKING:
    from metarec_stream.pipeline.checkpoint import Checkpoints
    from metarec_stream.pipeline.recommender import Recommender

GAUGES_EVERY_S = 1.0
RESTORING_POLL_MS = 5
"""While partitions are restored, little time is spent waiting for records of the others."""
SPARE_AFTER_S = 3.0
"""A first, short-lived generation may give nothing to anyone: a member is spare after this."""

log = structlog.get_logger()


class GroupSource(Source, Protocol):
    """A source that is a member of a group; what is assigned flows once it is resumed."""

    @property
    def settled(self) -> bool: ...
    @property
    def owned(self) -> frozenset[int]: ...
    def resume(self, partition: int, offset: int) -> None: ...


class ServiceLoop:
    """Runs batches until told to stop; everything of it happens on the thread that calls `run`."""

    def __init__(
        self,
        settings: Settings,
        recommender: Recommender,
        checkpoints: Checkpoints,
        versions: VersionFeed,
        catalogue: CatalogueFeed,
        profiles: ProfileFeed,
        readiness: Readiness,
        metrics: ConsumerMetrics,
        clock: Clock,
        stop: StopSignal,
    ) -> None:
        self._settings = settings
        self._recommender = recommender
        self._checkpoints = checkpoints
        self._versions = versions
        self._catalogue = catalogue
        self._profiles = profiles
        self._readiness = readiness
        self._metrics = metrics
        self._clock = clock
        self._stop = stop
        self._gauges_at = clock.monotonic()
        self._without_since = clock.monotonic()
        self._takeover: Takeover | None = None

    def run(self, source: GroupSource, transaction: Transaction, history: History) -> None:
        """Raises what a batch or a takeover raises."""
        self._takeover = takeover = Takeover(
            self._settings, self._recommender, history, self._metrics, self._clock,
            source.resume, self._note_degraded,
        )  # fmt: skip
        batches = Batches(
            source, transaction, self._recommender, self._checkpoints, self._settings,
            self._metrics, self._clock,
        )  # fmt: skip
        while not self._stop.requested:
            batches.run(RESTORING_POLL_MS if takeover.waiting else None)
            takeover.step()
            self.between_batches()
            self._say_whether_assigned(source, takeover)
            if self._clock.monotonic() - self._gauges_at >= GAUGES_EVERY_S:
                self._gauges_at = self._clock.monotonic()
                self._update_gauges(source)
        self._checkpoints.every_partition = True
        batches.take([])

    def between_batches(self) -> None:
        """Take up what the threads have prepared; never waits for them."""
        self._versions.follower.check()
        self._catalogue.follower.check()
        self._profiles.follower.check()
        prepared = self._versions.take()
        if prepared is not None:
            crash_point("in-swap")
            self._recommender.swap(prepared)
            log.info("meta_version_taken_up", version=self._recommender.meta_version)
        items = self._catalogue.take()
        if items:
            self._recommender.apply_items(items)
        profiles = self._profiles.take()
        if profiles:
            self._recommender.apply_profiles(profiles)

    def on_rebalance(self, change: Rebalance) -> None:
        """Called by the source's poll, before it hands out records.

        What was lost or given up is forgotten: all of it that counts is committed. What is assigned
        is restored between the next batches.
        """
        log.info("partitions", change=change.kind, partitions=list(change.partitions))
        if self._takeover is None:
            raise Fatal("partitions came and went before the loop ran; this is a fault of ours")
        if change.kind == "assigned":
            self._takeover.add(change.partitions)
            for partition in change.partitions:
                self._metrics.lag.labels(str(partition)).set(0)
            return
        self._takeover.remove(change.partitions)
        for partition in change.partitions:
            self._metrics.lag.remove(str(partition))

    def _note_degraded(self, what: str, partition: int, text: str) -> None:
        """The state of a partition is less than it should be; that does not pass by itself."""
        self._metrics.degraded.labels(what).set(1)
        self._readiness.note(f"{what}-{partition}", text)
        log.warning("partition_degraded", what=what, partition=partition, reason=text)

    def _say_whether_assigned(self, source: GroupSource, takeover: Takeover) -> None:
        group = self._settings.kafka.group
        now = self._clock.monotonic()
        if source.owned or not source.settled:
            self._without_since = now
        spare = now - self._without_since >= SPARE_AFTER_S
        self._readiness.note(
            "spare", f"group {group} has more members than partitions" if spare else None
        )
        if takeover.waiting:
            self._readiness.wait("partitions", f"restoring partitions {takeover.waiting}")
        elif source.owned or spare:
            self._readiness.done("partitions")
        else:
            self._readiness.wait("partitions", f"joining the group {group}")

    def _update_gauges(self, source: GroupSource) -> None:
        for partition, records in source.lag().items():
            self._metrics.lag.labels(str(partition)).set(records)
        self._recommender.export()
        self._readiness.note("users-on-disk", self._recommender.hard.cold.degraded)
