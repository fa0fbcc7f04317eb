"""Random numbers inside compiled code: SplitMix64 (Steele et al. 2014), explicit state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@compiled
def draw_below(state: NDArray[np.uint64], bound: int) -> int:
    """A number in [0, bound); moves the state [1]."""
    state[0] += _GOLDEN
    bits = state[0]
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    bits = bits ^ (bits >> np.uint64(31))
    return int(bits % np.uint64(bound))
