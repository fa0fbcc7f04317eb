"""A cell of the benchmark: one model under one protocol with one seed, and what came of it."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


class Cell(msgspec.Struct, frozen=True):
    """Which figure is meant."""

    protocol: str
    model: str
    seed: int

    def __str__(self) -> str:
        return f"{self.protocol} / {self.model} / seed {self.seed}"


class Origin(msgspec.Struct, frozen=True):
    """All that decides a cell's figures: if any of it changes, the cell has to run again."""

    release: str
    settings: dict[str, Any]
    """The sections that the model reads, with every value in effect."""
    outer_every: int | None
    """Events between two rounds of the learner; None for a model without one."""
    code: str
    """Digest of the code that the model and the protocol run."""
    data: dict[str, str]
    """Digest of each data file."""

    def digest(self) -> str:
        """Of everything here."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()

    def differences(self, other: Origin) -> list[str]:
        """The parts in which another origin differs, settings by their section."""
        parts = [
            name
            for name in ("release", "outer_every", "code", "data")
            if getattr(self, name) != getattr(other, name)
        ]
        sections = sorted(self.settings.keys() | other.settings.keys())
        mine, others = self.settings, other.settings
        return parts + [name for name in sections if mine.get(name) != others.get(name)]


class Cost(msgspec.Struct, frozen=True):
    """What a run took, of a process that did nothing else."""

    training_seconds: float
    """The whole pass: choosing settings, learning, and ranking what is scored."""
    events_per_second: float
    """All events of the stream over those seconds."""
    bytes_per_user: float | None
    """Growth of the process's memory from the loaded stream to its peak, over the users; None
    where the system does not tell."""
    peak_bytes: int | None
    cpu_seconds: float
    device: str


class Point(msgspec.Struct, frozen=True):
    """HR@10 over a part of the scored events."""

    at: float
    """Where the part lies: a share of the stream's rows, or a user's events before."""
    value: float
    events: int


class Finding(msgspec.Struct, frozen=True):
    """The figures of a finished run."""

    scores: dict[str, float]
    events: int
    scored: int
    users: int
    items: int
    cost: Cost
    parts: dict[str, dict[str, float | None]]
    """All measures of repeat and novel events, and of the protocol's own parts."""
    learning: list[Point]
    """HR@10 over the stream, in parts of as many scored events."""
    adaptation: list[Point]
    """HR@10 by how many events came before: of the user, or since what the protocol planted."""


class Outcome(msgspec.Struct, frozen=True):
    """A cell that has run: what it found, or why it failed."""

    cell: Cell
    origin: Origin
    digest: str
    commit: str | None
    """For the reader; the digest of the code is what counts."""
    wall_seconds: float
    finding: Finding | None
    error: str | None
    """The last lines that a failed run said."""
