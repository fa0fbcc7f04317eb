"""Content vectors as text to be hashed: vectors that point the same way share some of it.

Signatures of random hyperplanes (Charikar 2002): one bit says on which side of a plane a vector
lies, so vectors at an angle a agree in a bit with chance 1 - a / pi. Eight bits make a signature,
and a vector has four: at a cosine of .9 two share one with chance .74, at .5 with .15, at 0 with
.016.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from metarec_stream.hashing import hash64

SIGNATURES = 4
_BITS = 8


def signatures(name: str, vector: list[float]) -> list[str]:
    """Four signatures of a vector of that name, none if it points nowhere."""
    longest = max(map(abs, vector), default=0.0)
    if longest == 0 or not math.isfinite(longest):
        return []
    sides = _planes(name, len(vector)) @ (np.array(vector) / longest) > 0
    codes = np.packbits(sides.reshape(SIGNATURES, _BITS), axis=1)[:, 0]
    return [f"{name}:{number}:{code}" for number, code in enumerate(codes.tolist())]


@lru_cache(maxsize=32)
def _planes(name: str, length: int) -> NDArray[np.float64]:
    """The planes' normals [bits, length], the same for all vectors of one name and length."""
    generator = np.random.Generator(np.random.Philox(key=hash64(f"{name}\0{length}")))
    return generator.standard_normal((SIGNATURES * _BITS, length))
