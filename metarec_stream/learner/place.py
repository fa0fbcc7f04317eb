"""Which of a learner's processes this one is. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A process among the learner's. Rank 0 leads; the others follow it."""

    rank: int = 0
    size: int = 1
    on_this_machine: int = 1


ALONE = Place()


def place_of(environment: Mapping[str, str]) -> Place:
    """The place that torchrun gave this process; alone without torchrun."""
    size = int(environment.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in environment:
        return ALONE
    local = int(environment.get("LOCAL_WORLD_SIZE", str(size)))
    return Place(int(environment["RANK"]), size, local)
