"""Which faults are done, in which order, to whom: a function of the names and the seed alone."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import msgspec

from metarec_stream.chaos.fault import Fault
from metarec_stream.settings_sources import BadConfiguration

ALL, SHORT = "all", "short"


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One fault with everything about it that is drawn."""

    fault: str
    victim: int
    """Number of the consumer that is harmed, from 1."""
    crash_at: str = ""
    """Value of METAREC_CRASH_AT for it, if it kills itself."""
    seed: int
    """Of the events, and of what else the fault draws."""


def plan_of(
    registry: Mapping[str, Fault], names: Sequence[str], consumers: int, seed: int
) -> list[Planned]:
    """The plan for these names; `all` stands for every fault, `short` for those without minutes.

    Raises BadConfiguration for a name that is no fault.
    """
    return [_planned(registry[name], consumers, seed) for name in _chosen(registry, names)]


def _chosen(registry: Mapping[str, Fault], names: Sequence[str]) -> list[str]:
    groups = {
        ALL: list(registry),
        SHORT: [name for name, fault in registry.items() if fault.load_s is None],
    }
    chosen: dict[str, None] = {}
    for name in names:
        if name not in groups and name not in registry:
            raise BadConfiguration(
                f"--faults {name}: no such fault; there are {', '.join(registry)}, {SHORT}, {ALL}"
            )
        chosen.update(dict.fromkeys(groups.get(name, [name])))
    return list(chosen)


def _planned(fault: Fault, consumers: int, seed: int) -> Planned:
    # A fault's draws do not depend on which others are chosen.
    drawn = random.Random(f"{seed} {fault.name}")
    crash_at = f"{fault.crash_point}:{drawn.randint(*fault.passes)}" if fault.crash_point else ""
    victim = drawn.randint(1, consumers)
    return Planned(fault=fault.name, victim=victim, crash_at=crash_at, seed=drawn.randrange(2**31))
