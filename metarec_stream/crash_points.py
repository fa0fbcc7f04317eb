"""Named places at which a process can be told to kill itself, so that crashes there can be tested.

The environment variable METAREC_CRASH_AT holds `name`, or `name:n` for the n-th pass.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "METAREC_CRASH_AT"
CRASH_POINTS = (
    "after-poll",
    "after-adapt",
    "after-send-offsets",
    "before-send",
    "after-send",
    "in-checkpoint",
    "before-commit",
    "after-commit",
    "in-restore",
    "in-swap",
)

_name, _, _pass = os.environ.get(VARIABLE, "").partition(":")
_left = int(_pass or 1)


def crash_point(name: str) -> None:
    """Kill this process with SIGKILL, as if from outside, if it was told to end here."""
    if name == _name:
        _die()


def _die() -> None:
    global _left  # noqa: PLW0603 - one process, one crash
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
