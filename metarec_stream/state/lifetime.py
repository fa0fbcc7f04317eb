"""When users who do not come back are forgotten: a function of the partition's watermark alone.

Event time is cut into parts, of which the TTL has `PARTS`. When the watermark enters another part,
users are forgotten whose newest event is more than the TTL before the part's beginning: so nobody
is before the TTL has passed, and everybody is a part of it later. Who they are does not depend on
batches, checkpoints, or clocks, and is looked for only so often.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from metarec_stream.state.settings import StateSettings

PARTS = 16


class Lifetime(NamedTuple):
    """Of users after their newest event."""

    part_ms: int

    def part(self, time: int) -> int:
        """The number of the part that a time is in."""
        return time // self.part_ms

    def limit(self, watermark: int) -> int:
        """Users whose newest event is before this time (ms) are forgotten."""
        return (self.part(watermark) - PARTS) * self.part_ms


def lifetime_of(settings: StateSettings) -> Lifetime | None:
    """None where everybody is kept."""
    if settings.ttl_s is None:
        return None
    return Lifetime(math.ceil(settings.ttl_s * 1_000 / PARTS))
