"""What is accepted: neither too early, nor too late, nor a second time."""

from __future__ import annotations

from collections import OrderedDict

from metarec_stream.contract.interaction import Interaction
from metarec_stream.errors import Reason, Rejected
from metarec_stream.hashing import hash64
from metarec_stream.pipeline.settings import GuardSettings

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
        "_event_ids",
        "_horizon",
        "_lateness_ms",
        "_max_event_ids",
        "_skew_ms",
        "accepted",
        "duplicates",
        "rejected",
        "watermark",
    )

    def __init__(self, settings: GuardSettings) -> None:
        self._skew_ms = round(settings.skew_s * 1_000)
        self._lateness_ms = round(settings.lateness_s * 1_000)
        self._max_event_ids = settings.event_ids
        self._event_ids: OrderedDict[int, int] = OrderedDict()
        self.watermark = NO_WATERMARK
        self._horizon = NO_WATERMARK - self._lateness_ms
        self.accepted = 0
        self.rejected = 0
        self.duplicates = 0

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
        if interaction.event_id and not self._remember(interaction, ts):
            self.duplicates += 1
            return False
        if ts > self.watermark:
            self._advance(ts)
        self.accepted += 1
        return True

    def _remember(self, interaction: Interaction, ts: int) -> bool:
        """Keep the event's id; False if it is kept already and not past the window."""
        event = hash64(f"{interaction.user}\0{interaction.event_id}")
        first = self._event_ids.get(event)
        if first is not None:
            if first >= self._horizon:
                return False
            del self._event_ids[event]
        self._event_ids[event] = ts
        if len(self._event_ids) > self._max_event_ids:
            self._event_ids.popitem(last=False)
        return True

    def _advance(self, ts: int) -> None:
        """Move the watermark, and forget ids past the window from the oldest kept onwards.

        One that is past it but behind a newer one stays a while; `_remember` ignores it.
        """
        self.watermark = ts
        self._horizon = ts - self._lateness_ms
        kept = self._event_ids
        while kept:
            oldest = next(iter(kept))
            if kept[oldest] >= self._horizon:
                return
            del kept[oldest]

    def _refuse(self, reason: Reason, ts: int, where: str, other: int) -> None:
        self.rejected += 1
        raise Rejected(reason, f"ts: {ts} is {abs(ts - other)} ms {where} {other}")
