"""The state that a partition's records make, by the documented rules, in plain Python.

Written from docs/verify.md, apart from `state.rings` and `state.row`. Users in use are kept as
objects, the others packed: a partition's users take about what their rows in the changelog take.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from hashlib import blake2b
from itertools import pairwise
from struct import pack

import msgspec

from metarec_stream.config import Settings
from metarec_stream.contract.interaction import Interaction
from metarec_stream.hashing import hash64

MOST_UNPACKED = 5_000
PARTS_OF_TTL = 16
_REPEATS = (1 << 64) - 1
_NARROW = 1 << 32

Entry = tuple[int, str, str, float, int, int]
"""An event in the ring: time, item, type, value or NaN, context code, hash of the event id."""


class ExpectedUser(msgspec.Struct, array_like=True):
    """One user: the ring, newest first, and the counters."""

    ring: list[Entry]
    upto: int = -1
    accepted: int = 0
    wanted: int = 0
    repeats: int = 0


_PACK = msgspec.msgpack.Encoder()
_UNPACK = msgspec.msgpack.Decoder(ExpectedUser)


class ExpectedUsers:
    """The users of one partition."""

    def __init__(self, settings: Settings) -> None:
        self._ring = settings.state.ring
        self._wanted = {name for name, weight in settings.events.table().items() if weight > 0}
        ttl_s = settings.state.ttl_s
        self._part_ms = None if ttl_s is None else math.ceil(ttl_s * 1_000 / PARTS_OF_TTL)
        self._unpacked: OrderedDict[str, ExpectedUser] = OrderedDict()
        self._packed: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._unpacked) + len(self._packed)

    def apply(self, interaction: Interaction, time: int, offset: int) -> None:
        """An accepted interaction happens to its user."""
        user = self._user(interaction.user)
        item, kind = interaction.item, interaction.type
        if kind in self._wanted:
            again = any(each[1] == item and each[2] in self._wanted for each in user.ring)
            user.repeats = (user.repeats << 1 | again) & _REPEATS
            user.wanted += 1
        user.accepted += 1
        user.upto = offset
        newer = sum(each[0] > time for each in user.ring)
        user.ring.insert(newer, _entry(interaction, time))
        del user.ring[self._ring :]

    def expire(self, before: int, after: int) -> None:
        """The watermark moves: who has been away for the TTL is as if there had never been one."""
        if self._part_ms is None or after // self._part_ms == before // self._part_ms:
            return
        limit = (after // self._part_ms - PARTS_OF_TTL) * self._part_ms
        for name in [name for name, user in self._users() if user.ring[0][0] < limit]:
            self.erase(name)

    def erase(self, user: str) -> None:
        """The user is as if there had never been an event of theirs."""
        self._unpacked.pop(user, None)
        self._packed.pop(user, None)

    def rows(self) -> Iterator[tuple[str, int, bytes]]:
        """Of each user the id, the offset of their last event, and the row's bytes."""
        for name, user in self._users():
            yield name, user.upto, encoded_row(user)

    def _users(self) -> Iterator[tuple[str, ExpectedUser]]:
        yield from self._unpacked.items()
        for name, packed in self._packed.items():
            yield name, _UNPACK.decode(packed)

    def _user(self, name: str) -> ExpectedUser:
        user = self._unpacked.pop(name, None)
        if user is None:
            packed = self._packed.pop(name, None)
            user = ExpectedUser([]) if packed is None else _UNPACK.decode(packed)
        self._unpacked[name] = user
        if len(self._unpacked) > MOST_UNPACKED:
            oldest, gone = self._unpacked.popitem(last=False)
            self._packed[oldest] = _PACK.encode(gone)
        return user


def encoded_row(user: ExpectedUser) -> bytes:
    """The user's row, version 1, as docs/verify.md lays it down."""
    times, items, kinds, values, contexts, events = zip(*user.ring, strict=True)
    present = list(dict.fromkeys(kinds))
    gaps = [newer - older for newer, older in pairwise(times)]
    width = "Q" if any(gap >= _NARROW for gap in gaps) else "I"
    fields = [
        1,
        user.upto,
        times[0],
        user.accepted,
        user.wanted,
        user.repeats,
        items,
        present,
        bytes(present.index(kind) for kind in kinds),
        pack(f"<{len(gaps)}{width}", *gaps),
        b"" if all(map(math.isnan, values)) else pack(f"<{len(values)}d", *values),
        pack(f"<{len(contexts)}I", *contexts) if any(contexts) else b"",
        pack(f"<{len(events)}Q", *events) if any(events) else b"",
    ]
    return msgspec.msgpack.encode(fields)


def row_digest(key: bytes, value: bytes) -> int:
    """What a row adds to the digest: 128-bit BLAKE2b of its key's length, its key, its value."""
    content = len(key).to_bytes(4, "little") + key + value
    return int.from_bytes(blake2b(content, digest_size=16).digest(), "little")


def _entry(interaction: Interaction, time: int) -> Entry:
    context = 0
    if interaction.context:
        text = msgspec.json.encode(interaction.context, order="sorted").decode()
        context = hash64(text) & 0xFFFFFFFF
    return (
        time,
        interaction.item,
        interaction.type,
        math.nan if interaction.value is None else float(interaction.value),
        context,
        hash64(interaction.event_id) if interaction.event_id else 0,
    )
