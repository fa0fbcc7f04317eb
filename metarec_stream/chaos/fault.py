"""A fault: its name, what is done, and what is expected of the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from metarec_stream.chaos.site import Site

Expected = Literal["certified", "degraded"]


@dataclass(frozen=True)
class Fault:
    """One way to harm the service, once, while events are posted."""

    name: str
    what: str
    """What is done, for the matrix."""
    act: Callable[[Site], None]
    """Does it, and says at `Site.hit` when and to whose partitions. Raises Fatal if it cannot."""
    expected: Expected = "certified"
    crash_point: str = ""
    """Where the victim kills itself, if it does."""
    passes: tuple[int, int] = (1, 1)
    """Smallest and largest pass at which it does; one of them is drawn."""
    load_s: float | None = None
    """How long events are posted, for a fault that takes long."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the processes have in their environment for it; `{name}` stands for the process's."""
