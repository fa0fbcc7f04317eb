"""Events that are ranked among items of their own, for protocols that say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Slates:
    """Items by the offset of the event that is ranked among them."""

    offsets: NDArray[np.int64]
    """[m] ascending."""
    items: NDArray[np.int32]
    """[m, k] local item numbers; -1 pads."""

    def of(self, offsets: NDArray[np.int64]) -> NDArray[np.int32]:
        """[n, k] of a batch's events; only pads for an event without a list."""
        places = np.searchsorted(self.offsets, offsets)
        places[places == len(self.offsets)] = 0
        slates = self.items[places]
        slates[self.offsets[places] != offsets] = -1
        return slates


def no_slates() -> NDArray[np.int32]:
    """Every event is ranked among all candidates."""
    return np.zeros((0, 0), np.int32)
