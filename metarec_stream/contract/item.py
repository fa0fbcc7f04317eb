"""The item: what is known of something that can be recommended, on the `items` topic."""

from __future__ import annotations

import msgspec


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One item of the catalogue; a null value under its key deletes it."""

    item: str
    title: str | None = None
    categories: list[str] = []
    tags: list[str] = []
    price: float | None = None
    created: int | None = None
    """Milliseconds since the epoch."""
    vectors: dict[str, list[float]] = {}
    """Content embeddings by name: text, image, audio."""
    domain: str | None = None
    relations: list[tuple[str, str]] = []
    """(relation, other item)."""
    v: int = 1
