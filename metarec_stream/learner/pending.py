"""Events that wait for a full block, and how far the tasks topic is taken up and learned."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from metarec_stream.learner.events import TaskEvents, concatenate


class PendingEvents:
    """Events in the order they came, each block with the offset after it.

    learned, taken: next offset of the tasks topic by partition; everything before it is learned, or
    learned or waiting.
    """

    def __init__(self, learned: Mapping[int, int], taken: Mapping[int, int]) -> None:
        self.learned = dict(learned)
        self.taken = dict(taken)
        self._blocks: deque[tuple[TaskEvents, int, int]] = deque()
        self._events = 0

    def __len__(self) -> int:
        return self._events

    def add(self, events: TaskEvents, partition: int, next_offset: int) -> None:
        """Take up a block's events."""
        self.taken[partition] = next_offset
        self._blocks.append((events, partition, next_offset))
        self._events += len(events)

    def take(self, count: int) -> TaskEvents:
        """The first events; `learned` moves on over blocks that are used up."""
        parts: list[TaskEvents] = []
        wanted = count
        while wanted:
            events, partition, next_offset = self._blocks.popleft()
            parts.append(events.take(slice(0, wanted)))
            if len(events) > wanted:
                rest = events.take(slice(wanted, None))
                self._blocks.appendleft((rest, partition, next_offset))
            else:
                self.learned[partition] = next_offset
            wanted -= len(parts[-1])
        self._events -= count
        return concatenate(parts)

    def forget(self, users: NDArray[np.uint64]) -> int:
        """Events of these users do not wait any more; how many did."""
        before = self._events
        self._blocks = deque(
            (events.take(~np.isin(events.users, users)), partition, next_offset)
            for events, partition, next_offset in self._blocks
        )
        self._events = sum(len(events) for events, _, _ in self._blocks)
        return before - self._events

    def waiting(self) -> list[tuple[TaskEvents, int, int]]:
        """Blocks not used up: their events that are left, their partition, the offset after."""
        return list(self._blocks)
