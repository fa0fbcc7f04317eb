"""The one way functions are compiled here: numba, cached on disk, without the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

CompiledFunction = TypeVar("CompiledFunction", bound=Callable[..., Any])


def compiled(function: CompiledFunction) -> CompiledFunction:
    """Compile a function of arrays and numbers to machine code at its first call.

    The lock is released inside, so a scrape or a version load goes on beside it. Reassociation
    of sums is allowed (`fastmath` without the assumption that there are no NaN or infinities):
    the same code runs for a row whatever batch it is in, so results do not depend on batching.
    """
    fast = {"reassoc", "contract", "arcp", "nsz"}
    return cast(CompiledFunction, numba.njit(cache=True, nogil=True, fastmath=fast)(function))
