"""Hashes that are the same on every machine and in every run."""

from __future__ import annotations

from hashlib import blake2b

_MASK = (1 << 64) - 1


def hash64(text: str) -> int:
    """64-bit BLAKE2b of a text: never 0, which stands for "none" in the ring."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") or 1


def mix64(*numbers: int) -> int:
    """Mix integers into 64 well-spread bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state
