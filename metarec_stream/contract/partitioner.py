"""Which partition a key leads to: murmur2, as Java's client and kafka-python's hash keys."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995


@lru_cache(maxsize=4_096)
def _words(count: int) -> Struct:
    return Struct(f"<{count}I")


def _murmur2(key: bytes) -> int:
    """MurmurHash2, 32 bits, with Kafka's seed (Appleby 2008; Utils.murmur2 in Kafka's client)."""
    count = len(key) >> 2
    state = _SEED ^ len(key)
    for word in _words(count).unpack_from(key):
        mixed = (word * _MULTIPLIER) & _MASK
        mixed = ((mixed ^ (mixed >> 24)) * _MULTIPLIER) & _MASK
        state = ((state * _MULTIPLIER) & _MASK) ^ mixed
    tail = key[count << 2 :]
    if tail:
        state = ((state ^ int.from_bytes(tail, "little")) * _MULTIPLIER) & _MASK
    state = ((state ^ (state >> 13)) * _MULTIPLIER) & _MASK
    return state ^ (state >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition, of so many, that clients with the default partitioner send the key to."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions
