"""What a user took next, after they had the items they have just had before.

Compiled. A shopper who orders again goes through the same list again: of the many items that
follow the newest one with anybody, the one that followed it with this user comes next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled
from metarec_stream.state.rings import Rings

KINDS = 3
"""After the newest item; at the same distance from the second or the third newest; and two to four
places after the newest."""
_NEWEST = 3
_SOON = 5


@compiled
def own_transitions(
    rings: Rings,
    user: int,
    weights: NDArray[np.float32],
    place_of: NDArray[np.int32],
    found: NDArray[np.float32],
) -> None:
    """Count a user's own transitions to each of their items into found [places, KINDS], zeros.

    place_of: [N] the place of an item, -1 for what has none. Runs of an item count once.
    """
    taken = np.empty(rings.item.shape[1], np.int32)
    count = 0
    for entry in range(rings.length[user]):
        item = rings.item[user, entry]
        if weights[rings.kind[user, entry]] <= 0 or (count > 0 and taken[count - 1] == item):
            continue
        taken[count] = item
        count += 1
    for lag in range(min(_NEWEST, count)):
        kind = min(lag, 1)
        for before in range(lag + 1, count):
            if taken[before] != taken[lag]:
                continue
            after = before - 1 - lag
            if after >= 0 and place_of[taken[after]] >= 0:
                found[place_of[taken[after]], kind] += np.float32(1)
            if lag > 0:
                continue
            for later in range(max(before - _SOON + 1, 0), before - 1):
                if place_of[taken[later]] >= 0:
                    found[place_of[taken[later]], 2] += np.float32(1)
