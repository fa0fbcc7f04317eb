"""Events of one time, ranked before any of them is applied: for protocols that ask for it.

Each group of events is written down twice: first as events that are only ranked, then as events
that happen, are learned from and answered, one after the other as ever.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarec_stream.pipeline.adapt import Adapted, Events, picked
from metarec_stream.pipeline.observe import Observed


def asked_then_applied(events: Events) -> tuple[Events, NDArray[np.int64]]:
    """The events [2 n], and the number that each is of."""
    count = len(events.user)
    begins = np.ones(count, np.bool_)
    begins[1:] = np.diff(events.time) != 0
    group, numbers = np.tile(np.cumsum(begins), 2), np.tile(np.arange(count), 2)
    applied = np.repeat([False, True], count)
    order = np.lexsort((numbers, applied, group))
    origin, happens = numbers[order], applied[order]
    twice = picked(events, origin)
    return twice._replace(answered=twice.answered & happens, applied=happens), origin


def of_the_events(
    chosen: NDArray[np.bool_], origin: NDArray[np.int64], adapted: Adapted, observed: Observed
) -> tuple[Adapted, Observed]:
    """What was found for half [n] of the 2 n events, by the numbers that they had before."""
    half = picked(observed, chosen[observed.event])
    return adapted.of(chosen), half._replace(event=origin[half.event])
