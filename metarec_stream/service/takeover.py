"""Taking partitions over: their state is restored in slices, while other partitions flow."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING

import structlog

from metarec_stream.clock import Clock
from metarec_stream.config import Settings
from metarec_stream.contract.transport import History, Place
from metarec_stream.crash_points import crash_point
from metarec_stream.errors import Degraded, Fatal
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.soft_warm_up import SoftWarmUp
from metarec_stream.state.row_store import StoreFailed

if TYPE_CHECKING:
    from metarec_stream.pipeline.recommender import Recommender
    from metarec_stream.state.header import Header

SLICE_S = 0.05
"""How long other partitions wait for one slice; a step within it may take longer."""

log = structlog.get_logger()


class Takeover:
    """Restores assigned partitions one after the other; all of it on the thread that calls it.

    `on_restored(partition, offset)`: its records flow from this offset on.
    `on_degraded(what, partition, text)`: the state of a partition is less than it should be.
    """

    def __init__(
        self,
        settings: Settings,
        recommender: Recommender,
        history: History,
        metrics: ConsumerMetrics,
        clock: Clock,
        on_restored: Callable[[int, int], None],
        on_degraded: Callable[[str, int, str], None],
    ) -> None:
        self._settings = settings
        self._recommender = recommender
        self._history = history
        self._metrics = metrics
        self._clock = clock
        self._on_restored = on_restored
        self._on_degraded = on_degraded
        self._waiting: dict[int, float] = {}
        self._work: Iterator[bool] | None = None

    @property
    def waiting(self) -> list[int]:
        """Partitions that are not restored yet."""
        return list(self._waiting)

    def add(self, partitions: tuple[int, ...]) -> None:
        """Restore these, after those that wait already."""
        self._begin_anew()
        for partition in partitions:
            self._waiting[partition] = self._clock.monotonic()
        self._metrics.restoring.set(len(self._waiting))

    def remove(self, partitions: tuple[int, ...]) -> None:
        """Give these up, restored or not: their state is forgotten."""
        if self._waiting.keys() & set(partitions):
            self._begin_anew()
        for partition in partitions:
            self._waiting.pop(partition, None)
            self._forget(partition)
            self._recommender.hard.cold.discard(partition)
        self._metrics.restoring.set(len(self._waiting))

    def step(self) -> None:
        """Go on for about `SLICE_S`, or until there is something to wait for. Raises Fatal."""
        until = self._clock.monotonic() + SLICE_S
        while self._waiting:
            if self._work is None:
                self._work = self._restore_all()
            went_on = next(self._work, None)
            if went_on is None:
                self._work = None
            if went_on is False or self._clock.monotonic() >= until:
                return

    def _begin_anew(self) -> None:
        """What is half restored is forgotten; the rest of the work follows from who waits."""
        self._work = None
        self._history.forget()
        for partition in self._waiting:
            self._forget(partition)

    def _forget(self, partition: int) -> None:
        if partition in self._recommender.hard.progress:
            self._recommender.drop(partition)

    def _restore_all(self) -> Iterator[bool]:
        """Yields after each piece of work whether it was done; if not, it has to be waited for."""
        while not self._history.fence(list(self._waiting)):
            yield False
        for partition in list(self._waiting):
            while not self._history.settled(partition):
                yield False
        places = {}
        for partition in list(self._waiting):
            places[partition] = yield from self._place(partition)
        if not self._recommender.has_soft_state:
            yield from self._warm_up(places)
        for partition, place in places.items():
            yield from self._restore(partition, place)

    def _place(self, partition: int) -> Generator[bool, None, Place]:
        while (place := self._history.place(partition)) is None:
            yield False
        self._check_not_recreated(partition, place)
        return place

    def _restore(self, partition: int, place: Place) -> Iterator[bool]:
        committed, first = place.committed or 0, place.first
        self._recommender.assign(partition)
        rows = yield from self._read_changelog(partition, first)
        progress = self._recommender.hard.progress[partition]
        if first > progress.offset:
            gone = first - progress.offset
            progress.missing += gone
            progress.offset = first
            self._on_degraded("replay-hole", partition, f"{gone} records are gone by retention")
        replayed = max(0, committed - progress.offset)
        for chunk in self._history.interactions({partition: (progress.offset, committed)}):
            if chunk:
                self._recommender.replay(chunk)
                crash_point("in-restore")
            yield bool(chunk)
        # A committed offset behind the state was moved by hand, or its commit came after the state.
        progress.offset = max(progress.offset, committed)
        progress.live = True
        self._recommender.recall(partition)
        self._on_restored(partition, progress.offset)
        self._tell(partition, rows, replayed, progress.offset)

    def _read_changelog(self, partition: int, first: int) -> Generator[bool, None, int]:
        """Returns how many rows of users it held."""
        restore, cold = self._recommender.restore(partition), self._recommender.hard.cold
        since = None
        try:
            since = yield from restore.take_stored()
            for chunk in self._history.changelog(partition, since or 0):
                if chunk:
                    restore.take(chunk)
                    crash_point("in-restore")
                yield bool(chunk)
            self._note_settings(partition, restore.finish())
        except StoreFailed as error:
            self._assign_anew(partition)
            cold.fail(partition, error)
            return (yield from self._read_changelog(partition, first))
        except Degraded as error:
            if since is not None:
                log.warning("users_on_disk_dropped", partition=partition, reason=str(error))
                self._assign_anew(partition)
                cold.discard(partition)
                return (yield from self._read_changelog(partition, first))
            if first > 0:
                self._on_degraded("state-damaged", partition, str(error))
                restore.salvage()
            else:
                log.warning("state_rebuilt", partition=partition, reason=str(error))
                leftover = restore.keys()
                self._assign_anew(partition)
                cold.discard(partition)
                self._recommender.hard.progress[partition].leftover = leftover
        return restore.rows

    def _assign_anew(self, partition: int) -> None:
        self._recommender.drop(partition)
        self._recommender.assign(partition)

    def _note_settings(self, partition: int, header: Header | None) -> None:
        if header is not None and header.settings != self._recommender.hard.settings_hash:
            log.warning("state_was_made_under_other_settings", partition=partition)

    def _warm_up(self, places: Mapping[int, Place]) -> Iterator[bool]:
        each = self._settings.catalogue.warm_up_events // len(places)
        spans = {}
        for partition, place in places.items():
            committed = place.committed or 0
            spans[partition] = (max(place.first, committed - each), committed)
        warm_up = SoftWarmUp(self._recommender, list(places))
        try:
            for chunk in self._history.interactions(spans):
                warm_up.take(chunk)
                yield bool(chunk)
        finally:
            warm_up.finish()

    def _tell(self, partition: int, rows: int, replayed: int, offset: int) -> None:
        seconds = self._clock.monotonic() - self._waiting.pop(partition)
        self._metrics.restoring.set(len(self._waiting))
        self._metrics.restored_users.inc(rows)
        self._metrics.restore_seconds.observe(seconds)
        log.info(
            "partition_restored", partition=partition, users=rows, replayed=replayed,
            cold=self._recommender.hard.cold.count(partition), offset=offset,
            seconds=round(seconds, 3),
        )  # fmt: skip

    def _check_not_recreated(self, partition: int, place: Place) -> None:
        topic, group = self._settings.topics.interactions, self._settings.kafka.group
        if (place.committed or 0) > place.end:
            raise Fatal(
                f"the group {group} has committed offset {place.committed} of {topic}/{partition}, "
                f"which ends at {place.end}: the topic was made anew; delete the group's offsets "
                f"of it and the topic {self._settings.topics.state}, or set another kafka.group "
                "and topics.state, then start again"
            )
