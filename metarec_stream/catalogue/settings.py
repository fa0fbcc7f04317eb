"""Settings of what is known about items and what is moving among them."""

from __future__ import annotations

from pydantic import Field

from metarec_stream.section import Section

CONTEXT_SLOTS = 4
"""Entries of the context that popularity can be kept apart by."""


class CatalogueSettings(Section):
    """Soft state: decayed counts, transitions, co-occurrence."""

    neighbours: int = Field(256, ge=8, le=4096)
    """Most followers, and most companions, kept for an item; the weakest gives way."""
    half_life_events: float = Field(100_000.0, gt=1.0)
    """Accepted events after which a transition or a co-occurrence counts half. What follows what
    just now is counted apart, with a half-life of 5,000."""
    context: tuple[str, ...] = Field((), max_length=CONTEXT_SLOTS)
    """Entries of an event's `context` (a referrer, a region, a device) by whose values popularity
    is kept apart as well; at most 4."""
    context_buckets: int = Field(32, ge=2, le=1024)
    """Values of such an entry that are told apart; more share a bucket, by their hash."""
    warm_up_events: int = Field(100_000, ge=0)
    """Newest records of the input that a process reads once at its start, so that popularity,
    transitions and co-occurrence are there before its first list."""
