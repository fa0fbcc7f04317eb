"""Where processes keep files that outlive them."""

from __future__ import annotations

import os
from pathlib import Path


def folder_of(given: str | None, name: str, application: str) -> Path:
    """An application's folder: under the one that is set, else among this user's state files."""
    if given is not None:
        return Path(given).expanduser() / application
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "metarec-stream" / name / application
