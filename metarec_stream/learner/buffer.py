"""What is replayed: the newest events, and a reservoir of all older ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarec_stream.learner.events import CANDIDATE_FIELDS, FIELDS, TaskEvents, padded


class ReplayBuffer:
    """At most `capacity` events in fixed arrays; what is drawn depends on the seed alone.

    The first half of the slots is a ring of the newest events. What falls out of it enters the
    second half, a uniform sample of everything that ever fell out (reservoir sampling, Vitter 1985,
    algorithm R). `candidates`: how many there is room for; more make every slot wider. `balance`:
    `learn.replay_balance`.
    """

    def __init__(self, capacity: int, seed: int, candidates: int = 1, balance: float = 0.0) -> None:
        self._candidates = candidates
        self._balance = balance
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

    def forget(self, users: NDArray[np.uint64]) -> int:
        """Of these users no event is kept; how many were. Others, drawn at random, take their room.

        So the ring and the reservoir are as full as before.
        """
        if not self._added:
            return 0
        slots = self._slots(self._added)
        theirs = np.isin(self._arrays["users"][slots], users)
        gone, left = slots[theirs], slots[~theirs]
        if len(gone) and not len(left):
            self._arrays, self._added = {}, 0
        elif len(gone):
            instead = left[self._random.integers(0, len(left), len(gone))]
            for array in self._arrays.values():
                array[gone] = array[instead]
        return len(gone)

    def draw(self, count: int) -> TaskEvents:
        """Events drawn with replacement from all that is kept: uniformly, or balanced by item."""
        slots = self._slots(self._added)
        if self._balance == 0:
            return self._at(slots[self._random.integers(0, len(slots), count)])
        _, item, events = np.unique(
            self._arrays["candidates"][slots, 0], return_inverse=True, return_counts=True
        )
        summed = np.cumsum((events.astype(np.float64) ** -self._balance)[item])
        places = np.searchsorted(summed, self._random.random(count) * summed[-1], side="right")
        return self._at(slots[places])

    @property
    def added(self) -> int:
        """Events that were ever added."""
        return self._added

    def random_state(self) -> str:
        """Of what draws, as JSON: its numbers have 128 bits."""
        return json.dumps(self._random.bit_generator.state)

    def kept(self) -> dict[str, NDArray[Any]]:
        """The events that are kept, by field; the ring's slots first, then the reservoir's."""
        slots = self._slots(self._added)
        return {name: array[slots] for name, array in self._arrays.items()}

    def restore(self, kept: Mapping[str, NDArray[Any]], added: int, random_state: str) -> None:
        """Become what a buffer of the same capacity was."""
        self._added = added
        self._random.bit_generator.state = json.loads(random_state)
        if not added:
            return
        slots = self._slots(added)
        capacity = self._newest + self._older
        for name, array in kept.items():
            self._arrays[name] = np.zeros((capacity, *array.shape[1:]), array.dtype)
            self._arrays[name][slots] = array

    def _at(self, slots: NDArray[np.int64]) -> TaskEvents:
        return TaskEvents(**{name: self._arrays[name][slots] for name in FIELDS})

    def _slots(self, added: int) -> NDArray[np.int64]:
        """The slots in use after so many events."""
        ring = np.arange(min(added, self._newest))
        sampled = np.arange(min(max(0, added - self._newest), self._older))
        return np.concatenate([ring, self._newest + sampled])

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
