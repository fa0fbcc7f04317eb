"""Settings of the users' state."""

from __future__ import annotations

from pydantic import Field

from metarec_stream.section import Section


class StateSettings(Section):
    """What is kept of each user."""

    ring: int = Field(64, ge=4, le=1024)
    """K: a user is their last K accepted interactions."""
