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
    window: int = Field(48, ge=1, le=128)
    """L: distinct consecutive items of the ring that the fast weights sum over."""
    content_buckets: int = Field(4096, ge=16, le=32768)
    """Tokens of items (categories, tags, price, words of the title) that are told apart; more
    share a bucket, by their hash. With another number the tokens that a published version knows
    mean something else: change it together with `topics.meta`."""
    profile_buckets: int = Field(1024, ge=16, le=32768)
    """The same for attributes of users' profiles."""
    rerank_units: int = Field(32, ge=4, le=256)
    """R: hidden units in each of the two layers of the re-ranker."""
