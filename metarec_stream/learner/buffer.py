"""What is replayed: the newest events, and a reservoir of all older ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarec_stream.learner.events import CANDIDATE_FIELDS, FIELDS, TaskEvents, padded


class ReplayBuffer:
    """At most `capacity` events in fixed arrays; what is drawn depends on the seed alone.

    The first half of the slots is a ring of the newest events. What falls out of it enters the
    second half, a uniform sample of everything that ever fell out (reservoir sampling, Vitter 1985,
    algorithm R). `candidates`: how many there is room for; more make every slot wider.
    """

    def __init__(self, capacity: int, seed: int, candidates: int = 1) -> None:
        self._candidates = candidates
        self._newest = (capacity + 1) // 2
        self._older = capacity - self._newest
        self._arrays: dict[str, NDArray[Any]] = {}
        self._added = 0
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        return min(self._added, self._newest + self._older)

    def add(self, events: TaskEvents) -> None:
        """Take up events, the newest last."""
        if len(events):
            self._fit(events)
        for start in range(0, len(events), self._newest):
            self._add_to_ring(events.take(slice(start, start + self._newest)))

    def draw(self, count: int) -> TaskEvents:
        """Events drawn uniformly, with replacement, from all that is kept."""
        kept = self._random.integers(0, len(self), count)
        in_ring = min(self._added, self._newest)
        slots = np.where(kept < in_ring, kept, kept - in_ring + self._newest)
        return TaskEvents(**{name: self._arrays[name][slots] for name in FIELDS})

    def _fit(self, events: TaskEvents) -> None:
        for name, array in events.arrays().items():
            shape = [self._newest + self._older, *array.shape[1:]]
            if name in CANDIDATE_FIELDS:
                shape[1] = max(shape[1], self._candidates)
            kept = self._arrays.get(name)
            if kept is None:
                self._arrays[name] = np.zeros(shape, array.dtype)
            elif array.ndim > 1:
                self._arrays[name] = padded(kept, shape[1], name)

    def _add_to_ring(self, events: TaskEvents) -> None:
        slots = (self._added + np.arange(len(events))) % self._newest
        leaving = slots[max(0, self._newest - self._added) :]
        self._to_reservoir(leaving, first=max(0, self._added - self._newest))
        for name, array in events.arrays().items():
            kept = self._arrays[name]
            kept[slots] = padded(array, kept.shape[1] if kept.ndim > 1 else 0, name)
        self._added += len(events)

    def _to_reservoir(self, leaving: NDArray[np.int64], first: int) -> None:
        """Offer slots of the ring to the reservoir, which was offered `first` events before."""
        number = first + np.arange(len(leaving))
        drawn = self._random.integers(0, number + 1) if len(leaving) else number
        places = np.where(number < self._older, number, drawn)
        taken = places < self._older
        for array in self._arrays.values():
            array[self._newest + places[taken]] = array[leaving[taken]]
