"""The one way functions are compiled here: numba, cached on disk, without the interpreter lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

CompiledFunction = TypeVar("CompiledFunction", bound=Callable[..., Any])

_HERE = Path(__file__).parent
_COMPILED_PACKAGES = ("state", "catalogue", "adapters", "pipeline", "datasets", "evaluate")
"""Packages with compiled functions; each calls none of those after it."""


def compiled(function: CompiledFunction) -> CompiledFunction:
    """Compile a function of arrays and numbers to machine code at its first call.

    The lock is released inside, so a scrape or a version load goes on beside it. Reassociation
    of sums is allowed (`fastmath` without the assumption that there are no NaN or infinities):
    the same code runs for a row whatever batch it is in, so results do not depend on batching.
    """
    fast = {"reassoc", "contract", "arcp", "nsz"}
    # numba asks where to keep the machine code once, while it wraps the function.
    folder = cache_folder(_HERE, function.__module__, dict(os.environ))
    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    return cast(CompiledFunction, numba.njit(cache=True, nogil=True, fastmath=fast)(function))


def cache_folder(packages: Path, module: str, environment: dict[str, str]) -> Path:
    """Where a module's machine code is kept: a folder for each state of what it may call.

    That are the sources of its own package and of those below it. numba looks only at the file of
    the function that is called, and would go on using machine code in which a function or a
    constant of another file has since changed.
    """
    package = module.split(".")[1] if "." in module else ""
    below: tuple[str, ...] = _COMPILED_PACKAGES
    if package in _COMPILED_PACKAGES:
        below = _COMPILED_PACKAGES[: _COMPILED_PACKAGES.index(package) + 1]
    home = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "/")) / ".cache")
    base = environment.get("NUMBA_CACHE_DIR") or str(Path(home) / "metarec-stream" / "kernels")
    return Path(base) / _digest_of(packages, below)


@cache
def _digest_of(packages: Path, names: tuple[str, ...]) -> str:
    digest = sha256()
    for package in names:
        for source in sorted((packages / package).rglob("*.py")):
            digest.update(str(source.relative_to(packages)).encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]
