"""What a rebalance gave and took: noted on the library's thread, handled on the main one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from kafka import TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener


@dataclass(frozen=True, slots=True)
class Rebalance:
    """One change of the partitions that this member owns."""

    kind: Literal["assigned", "revoked", "lost"]
    partitions: tuple[int, ...]


class RebalanceNotes(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Only notes: the library calls it on its I/O thread while the main one is blocked in poll(),
    where a call of the consumer would raise and waiting for the main thread would deadlock.
    """

    def __init__(self, pause: Callable[[Iterable[TopicPartition]], None]) -> None:
        """`pause` holds partitions back. Here alone that is safe: kafka-python 3.0.12 can freeze a
        partition for ever that is paused after it has delivered records.
        """
        self._pause = pause
        self._notes: deque[Rebalance] = deque()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._pause(assigned)
        self._note("assigned", assigned)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._note("revoked", revoked)

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        # By default the library calls on_partitions_revoked, as if there were time to give up.
        self._note("lost", lost)

    def drain(self) -> list[Rebalance]:
        """The changes since the last call, in order."""
        taken = []
        while self._notes:
            taken.append(self._notes.popleft())
        return taken

    def _note(
        self, kind: Literal["assigned", "revoked", "lost"], partitions: Iterable[TopicPartition]
    ) -> None:
        numbers = tuple(sorted(partition.partition for partition in partitions))
        if numbers:
            self._notes.append(Rebalance(kind, numbers))
