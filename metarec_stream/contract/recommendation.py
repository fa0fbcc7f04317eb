"""The recommendation: a ranked list for a user, on the `recommendations` topic."""

from __future__ import annotations

import msgspec


class RecommendedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One place of the list."""

    item: str
    score: float
    probability: float | None = None
    """Chance that the user's next interaction is on this item; nil from a release that has none."""
    propensity: float | None = None
    """Probability that the item was shown here, where the policy explores; else nil."""
    why: list[str] = []
    """Short reason codes, the strongest first: repeat, transition, cooccurrence, taste, popular."""


class SourcePosition(msgspec.Struct, frozen=True, kw_only=True):
    """The interaction that the list answers."""

    topic: str
    partition: int
    offset: int


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """One ranked list, best item first."""

    rec_id: str
    user: str
    items: list[RecommendedItem]
    ts: int
    """When the list was made, wall clock, milliseconds since the epoch."""
    event_ts: int
    """Event time of the interaction that the list answers."""
    meta_version: int
    adapter: str
    arm: str
    source: SourcePosition
    v: int = 1


def recommendation_id(topic: str, partition: int, offset: int) -> str:
    """The `rec_id`: a function of the source position alone, so a replay gives the same one."""
    return f"{topic}/{partition}/{offset}"
