"""The meta version: the slow weights that a consumer ranks with, on `metarec.meta`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MetaVersion:
    """One complete set of slow weights ("phi") of one adapter."""

    version: int
    """0 is built in; published ones grow."""
    parent: int
    """The version that was live when this one was made; -1 for version 0."""
    adapter: str
    items: list[str]
    """Item ids that the tables' rows belong to."""
    parameters: dict[str, NDArray[np.float32]]
    """By name; tables have one row per item of `items`."""
    metrics: dict[str, float] = field(default_factory=dict)
    """What the gate measured."""
    task_offsets: dict[int, int] = field(default_factory=dict)
    """Next offset of `metarec.tasks` to learn from, by partition: where a new learner goes on."""
    created_ms: int = 0
