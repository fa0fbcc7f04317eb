"""Settings of the default adapter."""

from __future__ import annotations

from pydantic import Field

from metarec_stream.section import Section


class ValueSumSettings(Section):
    """The default adapter: learned value sums."""

    dimensions: int = Field(48, ge=4, le=512)
    """d: length of the item and value vectors."""
    time_scales: int = Field(4, ge=1, le=8)
    """H: decays of the fast weights."""
    window: int = Field(20, ge=1, le=128)
    """L: distinct consecutive items of the ring that the fast weights sum over."""
