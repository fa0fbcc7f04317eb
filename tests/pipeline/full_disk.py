"""A disk for cold users that can be full, and settings under which few users fit in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metarec_stream.state.lifetime import lifetime_of
from metarec_stream.state.row_store import Change, Mark, RowStore, StoreFailed
from tests.pipeline.process import SETTINGS as UNBOUNDED

MOST = 2
SETTINGS = UNBOUNDED.model_copy(
    update={"state": UNBOUNDED.state.model_copy(update={"max_hot_users": MOST})}
)
USERS = "abcdefgh"


class FullDisk(RowStore):
    """Refuses what is written while it is full."""

    full = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, lifetime_of(SETTINGS.state))

    def write(
        self,
        partition: int,
        changes: Sequence[Change],
        mark: Mark,
        expired_below: int | None = None,
    ) -> None:
        if self.full:
            raise StoreFailed("no space left on device")
        super().write(partition, changes, mark, expired_below)

    def drop(self, partition: int) -> None:
        if self.full:
            raise StoreFailed("no space left on device")
        super().drop(partition)

    def check_room(self) -> None:
        if self.full:
            raise StoreFailed("no room")
