"""What is accepted: neither too early, nor too late, nor a second time."""

from __future__ import annotations

from metarec_stream.contract.interaction import Interaction
from metarec_stream.errors import Reason, Rejected
from metarec_stream.hashing import hash64
from metarec_stream.pipeline.settings import GuardSettings
from metarec_stream.state.event_ids import EventIds

NO_WATERMARK = -1
"""The watermark before the first accepted event."""


class Guard:
    """The guard of one partition: hard state, a pure function of the partition's records.

    Integers only: no clock, no randomness, nothing that depends on how records fell into batches.

    The watermark is the largest accepted `ts`. An event is `future` if its `ts` is more than
    `guard.skew_s` ahead of its record's timestamp (not checked where that is unknown), and `late`
    if more than `guard.lateness_s` behind the watermark.

    **The window of duplicates.** An event whose `event_id` its user has had before is a duplicate
    while the first one's `ts` is at most `guard.lateness_s` behind the watermark and at most
    `guard.event_ids` ids of the partition were remembered since; what is beyond either bound is
    accepted again. An event without `event_id` is never a duplicate. A rejected event is not
    remembered, and neither it nor a duplicate moves the watermark. Ids are kept as 64-bit hashes of
    user and id: by chance one in about 10^14 new ids is taken for a known one at 200,000 kept.
    """

    __slots__ = (
        "_before",
        "_horizon",
        "_lateness_ms",
        "_skew_ms",
        "accepted",
        "duplicates",
        "event_ids",
        "rejected",
        "watermark",
    )

    def __init__(self, settings: GuardSettings) -> None:
        self._skew_ms = round(settings.skew_s * 1_000)
        self._lateness_ms = round(settings.lateness_s * 1_000)
        self.event_ids = EventIds(settings.event_ids)
        self.accepted = 0
        self.rejected = 0
        self.duplicates = 0
        self._move_watermark(NO_WATERMARK)
        self._before: tuple[int, int, int, int] | None = None

    def admit(self, interaction: Interaction, record_timestamp: int) -> bool:
        """Whether the event is new (True: remembered) or a duplicate (False: apply nothing).

        `record_timestamp`: milliseconds, -1 if unknown; it stands for an absent `ts`.
        Raises Rejected: `future` or `late`.
        """
        ts = record_timestamp if interaction.ts is None else interaction.ts
        if ts > record_timestamp + self._skew_ms and record_timestamp >= 0:
            self._refuse(Reason.FUTURE, ts, "after its record's timestamp", record_timestamp)
        if ts < self._horizon:
            self._refuse(Reason.LATE, ts, "before the newest event's", self.watermark)
        if interaction.event_id:
            event = hash64(f"{interaction.user}\0{interaction.event_id}")
            if not self.event_ids.remember(event, ts, self._horizon):
                self.duplicates += 1
                return False
        if ts > self.watermark:
            self._move_watermark(ts)
            self.event_ids.forget_before(self._horizon)
        self.accepted += 1
        return True

    def begin(self) -> None:
        """From here on, what changes can be undone."""
        self._before = (self.accepted, self.rejected, self.duplicates, self.watermark)
        self.event_ids.begin()

    def keep(self) -> None:
        """What changed since `begin` stays."""
        self._before = None
        self.event_ids.keep()

    def undo(self) -> None:
        """As it was at `begin`."""
        if self._before is None:
            return
        accepted, rejected, duplicates, watermark = self._before
        self.count(accepted, rejected, duplicates, watermark)
        self.event_ids.undo()
        self._before = None

    def count(self, accepted: int, rejected: int, duplicates: int, watermark: int) -> None:
        """Become a guard that has counted this much."""
        self.accepted, self.rejected, self.duplicates = accepted, rejected, duplicates
        self._move_watermark(watermark)

    def _move_watermark(self, watermark: int) -> None:
        self.watermark = watermark
        self._horizon = watermark - self._lateness_ms

    def _refuse(self, reason: Reason, ts: int, where: str, other: int) -> None:
        self.rejected += 1
        raise Rejected(reason, f"ts: {ts} is {abs(ts - other)} ms {where} {other}")
