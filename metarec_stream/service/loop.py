"""The consumer's main loop: a batch, then whatever has to happen between two batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import structlog

from metarec_stream.clock import Clock
from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record, Source, Transaction
from metarec_stream.errors import Fatal
from metarec_stream.kafka.rebalance import Rebalance
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.batch import run_batch
from metarec_stream.service.catalogue_feed import CatalogueFeed, ProfileFeed
from metarec_stream.service.health import Readiness
from metarec_stream.service.stop import StopSignal
from metarec_stream.service.versions import VersionFeed

if TYPE_CHECKING:
    from metarec_stream.pipeline.recommender import Recommender

GAUGES_EVERY_S = 1.0
SPARE_AFTER_S = 3.0
"""A first, short-lived generation may give nothing to anyone: a member is spare after this."""

log = structlog.get_logger()


class GroupSource(Source, Protocol):
    """A source that is a member of a group."""

    @property
    def settled(self) -> bool: ...
    @property
    def owned(self) -> frozenset[int]: ...
    def committed(self, partition: int) -> int | None: ...


class ServiceLoop:
    """Runs batches until told to stop; everything of it happens on the thread that calls `run`."""

    def __init__(
        self,
        settings: Settings,
        recommender: Recommender,
        versions: VersionFeed,
        catalogue: CatalogueFeed,
        profiles: ProfileFeed,
        replay: Callable[[Mapping[int, int]], Iterator[list[Record]]],
        readiness: Readiness,
        metrics: ConsumerMetrics,
        clock: Clock,
        stop: StopSignal,
    ) -> None:
        self._settings = settings
        self._recommender = recommender
        self._versions = versions
        self._catalogue = catalogue
        self._profiles = profiles
        self._replay = replay
        self._readiness = readiness
        self._metrics = metrics
        self._clock = clock
        self._stop = stop
        self._gauges_at = clock.monotonic()
        self._without_since = clock.monotonic()
        self._source: GroupSource | None = None

    def run(self, source: GroupSource, transaction: Transaction) -> None:
        """Raises what a batch raises, StopRequested when told to stop while replaying."""
        self._source = source
        while not self._stop.requested:
            run_batch(
                source,
                transaction,
                self._recommender,
                self._settings,
                self._metrics,
                self._clock,
            )
            self.between_batches()
            self._say_whether_assigned(source)
            if self._clock.monotonic() - self._gauges_at >= GAUGES_EVERY_S:
                self._gauges_at = self._clock.monotonic()
                self._update_gauges(source)

    def between_batches(self) -> None:
        """Take up what the threads have prepared; never waits for them."""
        self._versions.follower.check()
        self._catalogue.follower.check()
        self._profiles.follower.check()
        prepared = self._versions.take()
        if prepared is not None:
            self._recommender.swap(prepared)
            log.info("meta_version_taken_up", version=self._recommender.meta_version)
        items = self._catalogue.take()
        if items:
            self._recommender.apply_items(items)
        profiles = self._profiles.take()
        if profiles:
            self._recommender.apply_profiles(profiles)

    def on_rebalance(self, change: Rebalance) -> None:
        """Called by the source's poll, before it hands out records."""
        log.info("partitions", change=change.kind, partitions=list(change.partitions))
        if change.kind == "lost":
            raise Fatal(
                f"partitions {list(change.partitions)} of {self._settings.topics.interactions} are "
                f"lost: the group {self._settings.kafka.group} has not heard of this process in "
                "time; start it again, and if it comes back raise kafka.session_timeout_ms or "
                "kafka.max_poll_interval_ms"
            )
        if change.kind == "revoked":
            self._give_up(change.partitions)
        else:
            self._take_over(change.partitions)

    def _give_up(self, partitions: tuple[int, ...]) -> None:
        """All of their records that were taken are committed: only memory is given back."""
        for partition in partitions:
            self._recommender.drop(partition)
            self._metrics.lag.remove(str(partition))

    def _take_over(self, partitions: tuple[int, ...]) -> None:
        """Rebuild the partitions' state, up to where the group has committed."""
        if self._source is None:
            raise Fatal("partitions were assigned before the loop ran; this is a fault of ours")
        self._readiness.wait("partitions", f"replaying partitions {list(partitions)}")
        started = self._clock.monotonic()
        until = {each: self._source.committed(each) or 0 for each in partitions}
        for partition in partitions:
            self._recommender.assign(partition)
            self._metrics.lag.labels(str(partition)).set(0)
        count = 0
        for chunk in self._replay(until):
            self._stop.check()
            self._recommender.replay(chunk)
            count += len(chunk)
        seconds = round(self._clock.monotonic() - started, 3)
        log.info("partitions_rebuilt", until=until, records=count, seconds=seconds)

    def _say_whether_assigned(self, source: GroupSource) -> None:
        group = self._settings.kafka.group
        now = self._clock.monotonic()
        if source.owned or not source.settled:
            self._without_since = now
        spare = now - self._without_since >= SPARE_AFTER_S
        self._readiness.note(
            "spare", f"group {group} has more members than partitions" if spare else None
        )
        if source.owned or spare:
            self._readiness.done("partitions")
        else:
            self._readiness.wait("partitions", f"joining the group {group}")

    def _update_gauges(self, source: GroupSource) -> None:
        for partition, records in source.lag().items():
            self._metrics.lag.labels(str(partition)).set(records)
        self._recommender.export()
