"""Step 2a of a batch: decode and guard, in order; what is refused becomes a dead letter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from metarec_stream.config import Settings
from metarec_stream.contract.dead_letter import dead_letter
from metarec_stream.contract.interaction import ERASE, Interaction
from metarec_stream.contract.transport import Output, Record
from metarec_stream.errors import Rejected
from metarec_stream.hashing import hash64
from metarec_stream.pipeline.contexts import ContextBuckets
from metarec_stream.pipeline.decode import Decoder, is_misplaced
from metarec_stream.pipeline.guard import Guard
from metarec_stream.state.lifetime import lifetime_of

UNREADABLE = "unreadable"
"""Stands for the type of an event that could not be decoded, in metrics."""


class Erasure(NamedTuple):
    """A user is to be forgotten in a partition, as of a record."""

    place: int
    """Accepted events of the batch before it."""
    partition: int
    user: str
    offset: int
    timestamp: int


class Expiry(NamedTuple):
    """Users of a partition are to be forgotten who have not come back, as of a record."""

    place: int
    """Accepted events of the batch before it; it comes before the next one."""
    partition: int
    limit: int
    """Those whose newest event is before this time, ms."""


@dataclass(slots=True)
class Accepted:
    """The accepted events of a batch, in order, as columns."""

    users: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    contexts: list[int] = field(default_factory=list)
    buckets: list[tuple[int, ...]] = field(default_factory=list)
    """Of each event's context, by slot."""
    event_ids: list[int] = field(default_factory=list)
    partitions: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    erasures: list[Erasure] = field(default_factory=list)
    """In order; they are neither accepted nor rejected events."""
    expiries: list[Expiry] = field(default_factory=list)
    """In order."""
    dead_letters: list[Output] = field(default_factory=list)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Records by (type, outcome), those left out that were counted before."""
    rejections: Counter[str] = field(default_factory=Counter)
    """Of these, the rejected ones by reason."""
    misplaced: list[str] = field(default_factory=list)
    """Where the records are whose key is not the user or does not lead to their partition."""

    def __len__(self) -> int:
        return len(self.users)


class Admission:
    """Decodes and guards records; `guards` by partition are those of the hard state."""

    def __init__(self, settings: Settings, guards: Mapping[int, Guard]) -> None:
        self._settings = settings
        self._decoder = Decoder(settings.guard, settings.events)
        self._kinds = {name: number for number, name in enumerate(settings.events.table())}
        self._contexts = ContextBuckets(settings.catalogue)
        self._guards = guards
        self._lifetime = lifetime_of(settings.state)

    def decode(self, records: Sequence[Record]) -> list[Interaction | Rejected]:
        """What each record says, or why it cannot be taken."""
        return [self._decode(record) for record in records]

    def admit(
        self,
        records: Sequence[Record],
        decoded: Sequence[Interaction | Rejected],
        partitions: int | None,
        counted: Mapping[int, int],
    ) -> Accepted:
        """The accepted events, in order; the guards remember them.

        `partitions` of the input, where known: records in the wrong one are then noted.
        `counted` by partition: records below this offset were taken before, and undone.
        """
        accepted = Accepted()
        for record, interaction in zip(records, decoded, strict=True):
            letters = len(accepted.dead_letters)
            outcome = self._admit(record, interaction, accepted)
            if record.offset < counted.get(record.partition, 0):
                continue
            for letter in accepted.dead_letters[letters:]:
                accepted.rejections[dict(letter.headers)["metarec-reason"].decode()] += 1
            if isinstance(interaction, Rejected):
                accepted.outcomes[UNREADABLE, outcome] += 1
                continue
            accepted.outcomes[interaction.type, outcome] += 1
            if partitions is not None and is_misplaced(record, interaction.user, partitions):
                accepted.misplaced.append(f"{record.topic}/{record.partition}/{record.offset}")
        return accepted

    def _decode(self, record: Record) -> Interaction | Rejected:
        try:
            return self._decoder.decode(record)
        except Rejected as rejected:
            return rejected

    def _admit(
        self, record: Record, interaction: Interaction | Rejected, accepted: Accepted
    ) -> str:
        guard = self._guards[record.partition]
        try:
            if isinstance(interaction, Rejected):
                guard.rejected += 1
                raise interaction
            if interaction.type == ERASE:
                accepted.erasures.append(_erasure(record, interaction, len(accepted)))
                return "erased"
            watermark = guard.watermark
            if not guard.admit(interaction, record.timestamp):
                return "duplicate"
        except Rejected as rejected:
            topic = self._settings.topics.dead_letters_topic()
            accepted.dead_letters.append(dead_letter(record, rejected, topic))
            return "rejected"
        self._expire(record, watermark, guard.watermark, accepted)
        self._append(record, interaction, accepted)
        return "accepted"

    def _expire(self, record: Record, before: int, after: int, accepted: Accepted) -> None:
        """Note whether the watermark's move takes users away."""
        lifetime = self._lifetime
        if lifetime is not None and lifetime.part(after) > lifetime.part(before):
            limit = lifetime.limit(after)
            accepted.expiries.append(Expiry(len(accepted), record.partition, limit))

    def _append(self, record: Record, interaction: Interaction, accepted: Accepted) -> None:
        accepted.users.append(interaction.user)
        accepted.items.append(interaction.item)
        accepted.kinds.append(self._kinds[interaction.type])
        accepted.values.append(math.nan if interaction.value is None else interaction.value)
        accepted.times.append(record.timestamp if interaction.ts is None else interaction.ts)
        accepted.contexts.append(_context_code(interaction) if interaction.context else 0)
        accepted.buckets.append(self._contexts.of(interaction.context))
        accepted.event_ids.append(hash64(interaction.event_id) if interaction.event_id else 0)
        accepted.partitions.append(record.partition)
        accepted.offsets.append(record.offset)
        accepted.timestamps.append(record.timestamp)


def _erasure(record: Record, interaction: Interaction, place: int) -> Erasure:
    return Erasure(place, record.partition, interaction.user, record.offset, record.timestamp)


def _context_code(interaction: Interaction) -> int:
    """32 bits of the context's hash: equal contexts, equal codes."""
    text = msgspec.json.encode(interaction.context, order="sorted").decode()
    return hash64(text) & 0xFFFFFFFF
