"""The consumer's process: what `metarec serve` starts, in which order, and how it ends."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector

from metarec_stream.clock import Clock, clock_of_process
from metarec_stream.config import Settings
from metarec_stream.kafka.at_least_once import AtLeastOnce
from metarec_stream.kafka.connection import wait_for_brokers
from metarec_stream.kafka.source import KafkaSource
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.kafka.transaction import KafkaTransaction, transactional_id_of
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.service.catalogue_feed import CatalogueFeed, ProfileFeed, TopicFeed
from metarec_stream.service.health import HealthServer, Readiness
from metarec_stream.service.history import KafkaHistory
from metarec_stream.service.loop import ServiceLoop
from metarec_stream.service.stop import StopRequested, StopSignal
from metarec_stream.service.versions import VersionFeed
from metarec_stream.state.lifetime import lifetime_of
from metarec_stream.state.row_store import RowStore, open_row_store
from metarec_stream.state_folders import folder_of

if TYPE_CHECKING:
    from metarec_stream.pipeline.checkpoint import Checkpoints
    from metarec_stream.pipeline.recommender import Recommender

CATCH_UP_PAUSE_S = 0.02

log = structlog.get_logger()


def run_consumer(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status 0. Raises Fatal."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    readiness = Readiness(
        brokers=f"connecting to {settings.kafka.bootstrap_servers}",
        topics="not checked yet",
        kernels="not compiled yet",
        partitions=f"not in the group {settings.kafka.group} yet",
    )
    http = HealthServer(settings.http.host, settings.http.port, registry, readiness)
    try:
        with StopSignal(settings.service.grace_s) as stop, http:
            _ConsumerProcess(settings, ConsumerMetrics(registry), readiness, stop).run()
    except StopRequested:
        pass
    log.info("stopped")
    return 0


class _ConsumerProcess:
    """The parts of one process, put together."""

    def __init__(
        self, settings: Settings, metrics: ConsumerMetrics, readiness: Readiness, stop: StopSignal
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._readiness = readiness
        self._stop = stop
        self._clock: Clock = clock_of_process()

    def run(self) -> None:
        """Returns when told to stop between two batches."""
        partitions = self._reach_brokers()
        with ExitStack() as parts:
            recommender = self._compile(self._store(parts))
            recommender.input_partitions = partitions
            versions = VersionFeed(self._settings, recommender.prepare, self._metrics)
            catalogue = CatalogueFeed(self._settings)
            profiles = ProfileFeed(self._settings)
            for follower in (versions.follower, catalogue.follower, profiles.follower):
                follower.start()
                parts.callback(follower.close)
            loop = ServiceLoop(
                settings=self._settings,
                recommender=recommender,
                checkpoints=self._checkpoints(recommender),
                versions=versions,
                catalogue=catalogue,
                profiles=profiles,
                readiness=self._readiness,
                metrics=self._metrics,
                clock=self._clock,
                stop=self._stop,
            )
            self._catch_up(versions, (catalogue, profiles), loop)
            self._stop.defer()
            own_id = transactional_id_of(self._settings)
            history = parts.enter_context(closing(KafkaHistory(self._settings, own_id)))
            source = parts.enter_context(
                closing(KafkaSource(self._settings, loop.on_rebalance, own_id))
            )
            transaction = parts.enter_context(closing(self._transaction(source, own_id)))
            log.info("serving", transactional_id=own_id)
            loop.run(source, transaction, history)

    def _reach_brokers(self) -> int:
        """Returns the input topic's partitions."""

        def waiting(reason: str) -> None:
            self._readiness.wait("brokers", reason)

        wait_for_brokers(self._settings.kafka, on_wait=waiting)
        self._readiness.done("brokers")
        partitions = ensure_topics(self._settings)
        self._readiness.done("topics")
        log.info("topics_ready", input=self._settings.topics.interactions, partitions=partitions)
        return partitions

    def _store(self, parts: ExitStack) -> RowStore | None:
        """Of users who do not fit in memory, where there is a bound."""
        state = self._settings.state
        if not state.bounded:
            return None
        folder = folder_of(state.folder, "users", self._settings.application)
        store = parts.enter_context(
            closing(open_row_store(folder, self._settings.instance_id, lifetime_of(state)))
        )
        log.info("users_on_disk", folder=str(store.folder))
        return store

    def _compile(self, store: RowStore | None) -> Recommender:
        """Before joining the group: a member that compiles would hold back its partitions."""
        self._readiness.wait("kernels", "compiling")
        started = self._clock.monotonic()
        # Takes seconds to import, during which `/readyz` is to be answered already.
        from metarec_stream.pipeline.compile_kernels import see_to_kernels
        from metarec_stream.pipeline.recommender import Recommender

        recommender = Recommender(self._settings, self._metrics, self._clock, store=store)
        see_to_kernels()
        recommender.warm_up()
        self._readiness.done("kernels")
        log.info("kernels_compiled", seconds=round(self._clock.monotonic() - started, 3))
        return recommender

    def _transaction(self, source: KafkaSource, own_id: str) -> KafkaTransaction | AtLeastOnce:
        if self._settings.kafka.guarantee == "at-least-once":
            from metarec_stream.state.header import HEADER_KEY

            return AtLeastOnce(self._settings, HEADER_KEY, source.commit)
        return KafkaTransaction(self._settings, own_id)

    def _checkpoints(self, recommender: Recommender) -> Checkpoints:
        from metarec_stream.pipeline.checkpoint import Checkpoints

        return Checkpoints(recommender.hard, recommender.items, self._metrics, self._clock)

    def _catch_up(
        self, versions: VersionFeed, feeds: tuple[TopicFeed, ...], loop: ServiceLoop
    ) -> None:
        """Take up the items, profiles and version that are there: the first list knows them."""
        deadline = self._clock.monotonic() + self._settings.kafka.connect_timeout_s
        while not (versions.follower.caught_up.is_set() and all(feed.drained for feed in feeds)):
            if self._clock.monotonic() > deadline:
                log.warning("start_before_items_and_versions_are_read")
                break
            loop.between_batches()
            time.sleep(CATCH_UP_PAUSE_S)
        loop.between_batches()
