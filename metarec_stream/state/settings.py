"""Settings of the users' state."""

from __future__ import annotations

from pydantic import Field

from metarec_stream.section import Section


class StateSettings(Section):
    """What is kept of each user."""

    ring: int = Field(256, ge=4, le=1024)
    """K: a user is their last K accepted interactions; 33 bytes each, and room for K of them in
    memory."""
    checkpoint_every_s: float = Field(5.0, gt=0, le=3_600)
    """Between two checkpoints of a partition: a takeover replays what came after the last one."""
    checkpoint_events: int = Field(50_000, ge=1)
    """Records of a partition after which it is checkpointed before its time."""
    max_hot_users: int | None = Field(None, ge=1)
    """Most users in memory between two batches, beside those touched since the last checkpoint;
    those unseen for longest go to the disk. Absent, and `state.max_hot_bytes` too: all are kept in
    memory, and nothing on disk."""
    max_hot_bytes: int | None = Field(None, ge=1 << 20)
    """The same bound as bytes of rings and counters, as `metarec_state_bytes` counts them; where
    both are given, the smaller one holds."""
    ttl_s: float | None = Field(None, gt=0, le=1e9)
    """Users without an event for so long, in event time of their partition, are forgotten: at the
    latest when a sixteenth of it more has passed. At least `guard.lateness_s`. Absent: never."""
    folder: str | None = None
    """Folder of the users on disk, one subfolder an application, and in it one a process; absent:
    `~/.local/state/metarec-stream/users`, or the same under `$XDG_STATE_HOME`."""

    @property
    def bounded(self) -> bool:
        """Whether memory is, so that users beyond it are on disk."""
        return self.max_hot_users is not None or self.max_hot_bytes is not None
