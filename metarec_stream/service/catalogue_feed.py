"""Items from `items` and profiles from `users`: read on a thread, applied between batches."""

from __future__ import annotations

from collections.abc import Sequence
from queue import Empty, Full, Queue

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.service.follower import TopicFollower

CHUNKS = 4
"""Polls' worth of records that may wait for the main loop; the thread reads no further."""
PUT_LIMIT_S = 0.2


class TopicFeed:
    """Hands the records of a topic to the main loop, a poll's worth at a time."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._waiting: Queue[Sequence[Record]] = Queue(CHUNKS)
        self.follower = TopicFollower(settings, topic, self.put)

    def take(self) -> Sequence[Record]:
        """Records that came since the last call, at most one poll's worth; never waits."""
        try:
            return self._waiting.get_nowait()
        except Empty:
            return ()

    @property
    def drained(self) -> bool:
        """Whether everything has been taken that was there at the start."""
        return self.follower.caught_up.is_set() and self._waiting.empty()

    def put(self, records: Sequence[Record]) -> None:
        """Wait for room and leave the records there; on the follower's thread."""
        while not self.follower.stopped.is_set():
            try:
                self._waiting.put(records, timeout=PUT_LIMIT_S)
            except Full:
                continue
            return


class CatalogueFeed(TopicFeed):
    """Announced and deleted items."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, settings.topics.items)


class ProfileFeed(TopicFeed):
    """Attributes of users."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, settings.topics.users)
