"""The interaction: one thing a user did with an item, on the `interactions` topic."""

from __future__ import annotations

import msgspec

Scalar = str | int | float | bool | None

DEFAULT_TYPES: dict[str, float] = {
    "view": 1.0,
    "click": 1.0,
    "cart": 1.0,
    "purchase": 1.0,
    "rating": 1.0,
    "like": 1.0,
    "dislike": -1.0,
    "skip": -1.0,
    "cancel": -1.0,
    "impression": 0.0,
}
"""The interaction types known without configuration, and their weights.

A positive weight makes the item one that the user wanted; the others are kept in the ring and
in the counters, and neither recommended from nor learned as an outcome.
"""

ERASE = "erase"


class Interaction(msgspec.Struct, frozen=True, kw_only=True):
    """One interaction as it came over the wire, typed; unknown fields are ignored."""

    user: str
    item: str = ""
    type: str = "click"
    ts: int | None = None
    """Event time, milliseconds since the epoch; the record's timestamp if absent."""
    value: float | None = None
    event_id: str | None = None
    rec_id: str | None = None
    context: dict[str, Scalar] | None = None
    domain: str | None = None
    v: int = 1
