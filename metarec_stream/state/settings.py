"""Settings of the users' state."""

from __future__ import annotations

from pydantic import Field

from metarec_stream.section import Section


class StateSettings(Section):
    """What is kept of each user."""

    ring: int = Field(64, ge=4, le=1024)
    """K: a user is their last K accepted interactions."""
    checkpoint_every_s: float = Field(5.0, gt=0, le=3_600)
    """Between two checkpoints of a partition: a takeover replays what came after the last one."""
    checkpoint_events: int = Field(50_000, ge=1)
    """Records of a partition after which it is checkpointed before its time."""
