"""What was written before this process came, over Kafka; see `contract.transport.History`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.kafka.changelog import Changelog
from metarec_stream.kafka.fencing import Fencing
from metarec_stream.service.replay import Replay


class KafkaHistory:
    """The changelog, the input, the group's offsets, and the fence around them.

    `committed` asks the group, as its member.
    """

    def __init__(
        self, settings: Settings, own_id: str, committed: Callable[[int], int | None]
    ) -> None:
        self._changelog = Changelog(settings)
        self._replay = Replay(settings)
        self._fencing = Fencing(settings, own_id)
        self._committed = committed

    def fence(self, partitions: Sequence[int]) -> bool:
        return self._fencing.fence(partitions)

    def settled(self, partition: int) -> bool:
        return self._changelog.settled(partition)

    def committed(self, partition: int) -> int | None:
        return self._committed(partition)

    def span(self, partition: int) -> tuple[int, int]:
        return self._replay.span(partition)

    def changelog(self, partition: int, first: int) -> Iterator[Sequence[Record]]:
        return self._changelog.read(partition, first)

    def interactions(self, spans: Mapping[int, tuple[int, int]]) -> Iterator[Sequence[Record]]:
        return self._replay.chunks(spans)

    def close(self) -> None:
        self._changelog.close()
        self._replay.close()
