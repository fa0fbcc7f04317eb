"""Hashes that are the same on every machine and in every run."""

from __future__ import annotations

from hashlib import blake2b


def hash64(text: str) -> int:
    """64-bit BLAKE2b of a text: never 0, which stands for "none" in the ring."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") or 1
