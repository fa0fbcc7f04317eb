"""Which settings can be searched, and between which values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import ValidationError

from metarec_stream.config import Settings
from metarec_stream.settings_options import options
from metarec_stream.settings_sources import BadConfiguration

Value = int | float
Scale = Literal["linear", "log"]

DEFAULT_SEARCH = "learn.value_rate,learn.weights_rate,learn.features_rate,learn.steps"

SPACE: dict[str, tuple[Value, Value, Scale]] = {
    "learn.table_rate": (1e-3, 1e-1, "log"),
    "learn.value_rate": (5e-3, 2e-1, "log"),
    "learn.weights_rate": (5e-5, 1e-2, "log"),
    "learn.features_rate": (1e-3, 1e-1, "log"),
    "learn.steps": (1, 6, "linear"),
    "learn.replay": (0.0, 4.0, "linear"),
    "learn.prefix_events": (8, 512, "log"),
    "learn.dropout": (0.0, 0.6, "linear"),
    "learn.block": (32, 2_048, "log"),
    "learn.strongest": (16, 512, "log"),
    "learn.random": (8, 256, "log"),
    "learn.clip": (0.1, 100.0, "log"),
    "gate.confidence": (0.0, 3.0, "linear"),
    "value_sum.dimensions": (8, 128, "log"),
    "value_sum.time_scales": (1, 8, "linear"),
    "value_sum.window": (2, 64, "log"),
    "catalogue.half_life_events": (1e3, 1e6, "log"),
    "catalogue.neighbours": (32, 1_024, "log"),
}
"""By setting: the least and the largest value that is tried, and how values between are drawn."""


@dataclass(frozen=True, slots=True)
class Range:
    """One searched setting."""

    name: str
    low: Value
    high: Value
    scale: Scale
    integer: bool


def search_ranges(names: str, settings: Settings, outer_every: int) -> list[Range]:
    """The ranges of a comma-separated list of settings.

    Raises BadConfiguration for one that has no range, one whose present value is outside its
    range, and one whose range these settings do not allow.
    """
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in chosen if name not in SPACE]
    if unknown or not chosen:
        raise BadConfiguration(f"--search {names}: there are {', '.join(SPACE)}")
    ranges = [_range(name, outer_every) for name in chosen]
    present = present_values(settings, ranges)
    for each in ranges:
        if not each.low <= present[each.name] <= each.high:
            raise BadConfiguration(
                f"{each.name} = {present[each.name]} is outside what is tried, {each.low} to "
                f"{each.high}: set it to a value between them, or leave it out of --search"
            )
        for end in (each.low, each.high):
            with_values(settings, {each.name: end})
    return ranges


def present_values(settings: Settings, ranges: list[Range]) -> dict[str, Value]:
    """What the searched settings are now."""
    dumped = settings.model_dump()
    found = {}
    for each in ranges:
        section, key = each.name.split(".")
        found[each.name] = dumped[section][key]
    return found


def with_values(settings: Settings, values: Mapping[str, Value]) -> Settings:
    """The settings with these values; raises BadConfiguration where they are not allowed."""
    tree: dict[str, Any] = settings.model_dump()
    for name, value in values.items():
        section, key = name.split(".")
        tree[section][key] = value
    try:
        return Settings.model_validate(tree)
    except ValidationError as invalid:
        said = "; ".join(error["msg"] for error in invalid.errors(include_url=False))
        raise BadConfiguration(
            f"{dict(values)} cannot be tried with these settings: {said}"
        ) from None


def described(ranges: list[Range]) -> list[dict[str, Any]]:
    """The ranges as plain values."""
    return [asdict(each) for each in ranges]


def _range(name: str, outer_every: int) -> Range:
    low, high, scale = SPACE[name]
    if name == "learn.block":
        # A replay learns after every batch, whatever a larger block would wait for.
        high = min(high, outer_every)
        if high <= low:
            raise BadConfiguration(
                f"learn.block cannot be searched with --outer-every {outer_every}: it must be "
                f"above {low}"
            )
    integer = next(option for option in options() if option.name == name).type is int
    return Range(name, low, high, scale, integer)
