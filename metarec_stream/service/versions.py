"""Meta versions from `metarec.meta`: prepared off the poll loop, taken up between batches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.meta_version_codec import VersionAssembler
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Degraded
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.service.follower import TopicFollower

if TYPE_CHECKING:
    from metarec_stream.pipeline.recommender import Prepared

log = structlog.get_logger()


class VersionFeed:
    """Keeps the newest version, prepared, in a slot that the main loop empties.

    A version that is not whole, not its hash, or does not fit is refused: counted, logged, and
    the live one goes on. Of those that were there at the start only the newest is prepared.
    """

    def __init__(
        self,
        settings: Settings,
        prepare: Callable[[MetaVersion], Prepared],
        metrics: ConsumerMetrics,
    ) -> None:
        self._prepare = prepare
        self._metrics = metrics
        self._assembler = VersionAssembler()
        self._newest: MetaVersion | None = None
        self._lock = threading.Lock()
        self._prepared: Prepared | None = None
        self.follower = TopicFollower(
            settings, settings.topics.meta, self.feed, self._prepare_newest
        )

    def take(self) -> Prepared | None:
        """The newest version since the last call, if there is one; never waits."""
        with self._lock:
            prepared, self._prepared = self._prepared, None
        return prepared

    def feed(self, records: Sequence[Record]) -> None:
        """Take in records of the topic, in order; on the follower's thread."""
        for record in records:
            try:
                version = self._assembler.feed(record.key, record.value)
            except Degraded as refused:
                self._refuse(refused, record)
            else:
                self._newest = version or self._newest
        if self.follower.caught_up.is_set():
            self._prepare_newest()

    def _prepare_newest(self) -> None:
        version, self._newest = self._newest, None
        if version is None:
            return
        try:
            prepared = self._prepare(version)
        except Degraded as refused:
            self._metrics.refused_versions.inc()
            log.warning("meta_version_refused", version=version.version, reason=str(refused))
            return
        with self._lock:
            self._prepared = prepared

    def _refuse(self, refused: Degraded, record: Record) -> None:
        self._metrics.refused_versions.inc()
        log.warning(
            "meta_version_refused", topic=record.topic, offset=record.offset, reason=str(refused)
        )
