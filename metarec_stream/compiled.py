"""The one way functions are compiled here: numba, cached on disk, without the interpreter lock."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import structlog

from metarec_stream.errors import Fatal

logger = structlog.get_logger()

CompiledFunction = TypeVar("CompiledFunction", bound=Callable[..., Any])

_HERE = Path(__file__).parent
_OF_A_BATCH = ("state", "catalogue", "adapters", "pipeline")
"""Packages with compiled functions that call each other: those of a batch."""
_COMPILED_PACKAGES = (*_OF_A_BATCH, "datasets", "evaluate")
"""All of them; each of the rest calls none of those after it."""


def compiled(function: CompiledFunction) -> CompiledFunction:
    """Compile a function of arrays and numbers to machine code at its first call.

    The lock is released inside, so a scrape or a version load goes on beside it. Reassociation
    of sums is allowed (`fastmath` without the assumption that there are no NaN or infinities):
    the same code runs for a row whatever batch it is in, so results do not depend on batching.
    """
    fast = {"reassoc", "contract", "arcp", "nsz"}
    # numba asks where to keep the machine code once, while it wraps the function.
    folder = cache_folder(_HERE, function.__module__, os.environ)
    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    return cast(CompiledFunction, numba.njit(cache=True, nogil=True, fastmath=fast)(function))


def cache_folder(packages: Path, module: str, environment: Mapping[str, str]) -> Path:
    """Where a module's machine code is kept: a folder for each state of what it may call.

    That are the sources of its own package and of those below it; the packages of a batch share
    one. numba looks only at the file of the function that is called, its path and time included,
    and would go on using machine code in which a function or a constant of another file has since
    changed.
    """
    package = module.split(".")[1] if "." in module else ""
    below: tuple[str, ...] = _COMPILED_PACKAGES
    if package in _OF_A_BATCH:
        below = _OF_A_BATCH
    elif package in _COMPILED_PACKAGES:
        below = _COMPILED_PACKAGES[: _COMPILED_PACKAGES.index(package) + 1]
    return _base(environment) / _digest_of(packages, below)


def compile_batch_once(
    command: Sequence[str], packages: Path = _HERE, environment: Mapping[str, str] = os.environ
) -> None:
    """See that one process has compiled all that a batch runs; the others load what it left.

    What is called is inlined by a process that has compiled it itself, and linked where it was on
    disk before. So machine code that came about piece by piece is slower, and its sums differ in
    their last bits. Runs `command`, which compiles all, on an empty folder. Raises Fatal if that
    fails.
    """
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return
    folder = cache_folder(packages, "metarec_stream.pipeline", environment)
    whole = folder.with_suffix(".whole")
    if whole.exists():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                logger.info("compiling_kernels", folder=str(folder), seconds="about 60, this once")
                shutil.rmtree(folder, ignore_errors=True)
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                whole.touch()
    except (OSError, subprocess.CalledProcessError) as error:
        raise Fatal(
            f"the kernels could not be compiled into {folder} ({error}): see what was said above; "
            "XDG_CACHE_HOME or NUMBA_CACHE_DIR name another folder to keep them in"
        ) from error


def _base(environment: Mapping[str, str]) -> Path:
    home = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "/")) / ".cache")
    return Path(environment.get("NUMBA_CACHE_DIR") or Path(home) / "metarec-stream" / "kernels")


@cache
def _digest_of(packages: Path, names: tuple[str, ...]) -> str:
    digest = sha256()
    for package in names:
        for source in sorted((packages / package).rglob("*.py")):
            digest.update(f"{source} {source.stat().st_mtime_ns}\0".encode() + source.read_bytes())
    return digest.hexdigest()[:16]
