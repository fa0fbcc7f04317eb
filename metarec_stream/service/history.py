"""What was written before this process came, over Kafka; see `contract.transport.History`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Place, Record
from metarec_stream.kafka.changelog import Changelog
from metarec_stream.kafka.fencing import Fencing
from metarec_stream.service.read_ahead import ReadAhead
from metarec_stream.service.replay import Replay


class KafkaHistory:
    """The changelog, the input, the group's offsets, and the fence around them.

    All of it is asked on a thread of its own: an answer may take seconds, while others flow. The
    connections are opened at once, and kept: opening them takes half a second.
    """

    def __init__(self, settings: Settings, own_id: str) -> None:
        self._changelog = Changelog(settings)
        self._replay = Replay(settings)
        self._fencing = Fencing(settings, own_id)
        self._ahead = ReadAhead("history")
        for part in (self._fencing, self._changelog, self._replay):
            self._ahead.do(part.connect)

    def fence(self, partitions: Sequence[int]) -> bool:
        return bool(self._ahead.answer("fence", lambda: self._fencing.fence(partitions)))

    def settled(self, partition: int) -> bool:
        asked = ("settled", partition)
        return bool(self._ahead.answer(asked, lambda: self._changelog.settled(partition)))

    def place(self, partition: int) -> Place | None:
        return self._ahead.answer(("place", partition), lambda: self._replay.place(partition))

    def changelog(self, partition: int, first: int) -> Iterator[Sequence[Record]]:
        for found in self._ahead.slices(lambda: self._changelog.read(partition, first)):
            yield found or ()

    def interactions(self, spans: Mapping[int, tuple[int, int]]) -> Iterator[Sequence[Record]]:
        for found in self._ahead.slices(lambda: self._replay.chunks(spans)):
            yield found or ()

    def forget(self) -> None:
        self._ahead.forget()

    def close(self) -> None:
        """Give the connections back; waits no longer than a moment."""
        for part in (self._fencing, self._changelog, self._replay):
            self._ahead.do(part.close)
        self._ahead.close()
