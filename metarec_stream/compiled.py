"""The one way functions are compiled here: numba, cached on disk, without the interpreter lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

CompiledFunction = TypeVar("CompiledFunction", bound=Callable[..., Any])

_HERE = Path(__file__).parent
_COMPILED_PACKAGES = ("adapters", "catalogue", "evaluate", "pipeline", "state")


def compiled(function: CompiledFunction) -> CompiledFunction:
    """Compile a function of arrays and numbers to machine code at its first call.

    The lock is released inside, so a scrape or a version load goes on beside it. Reassociation
    of sums is allowed (`fastmath` without the assumption that there are no NaN or infinities):
    the same code runs for a row whatever batch it is in, so results do not depend on batching.
    """
    fast = {"reassoc", "contract", "arcp", "nsz"}
    return cast(CompiledFunction, numba.njit(cache=True, nogil=True, fastmath=fast)(function))


def cache_folder(packages: Path, environment: dict[str, str]) -> Path:
    """Where machine code is kept: a folder of its own for each state of the sources.

    numba looks only at the file of the function that is called, and would go on using machine code
    in which a function or a constant of another file has since changed.
    """
    digest = sha256()
    for package in _COMPILED_PACKAGES:
        for source in sorted((packages / package).rglob("*.py")):
            digest.update(str(source.relative_to(packages)).encode() + b"\0" + source.read_bytes())
    home = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "/")) / ".cache")
    base = environment.get("NUMBA_CACHE_DIR") or str(Path(home) / "metarec-stream" / "kernels")
    return Path(base) / digest.hexdigest()[:16]


numba.config.CACHE_DIR = str(cache_folder(_HERE, dict(os.environ)))  # type: ignore[attr-defined]
