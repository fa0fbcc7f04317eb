"""What a process publishes to which nothing ever happens, and the state of one that takes all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from metarec_stream.config import Settings
from metarec_stream.contract.codec import decode_recommendation
from metarec_stream.contract.transport import Output, Record
from metarec_stream.memory.log import MemoryLog
from tests.pipeline.process import Process, pure_state


def published(settings: Settings, outputs: Iterable[Output | Record]) -> dict[str, list[object]]:
    """What must be there exactly once, by topic: what recommendations answer, all of the rest."""
    topics = settings.topics
    found: dict[str, list[object]] = {}
    for each in outputs:
        if each.topic == topics.recommendations:
            answer = decode_recommendation(each.value or b"", b"application/msgpack")
            found.setdefault(each.topic, []).append((answer.rec_id, answer.user))
        elif each.topic in (topics.dead_letters_topic(), topics.receipts):
            found.setdefault(each.topic, []).append((each.key, each.value, each.headers))
    return found


class NeverFailing:
    """Takes the log's records one at a time; it knows neither checkpoints nor transactions."""

    def __init__(self, whole: MemoryLog, settings: Settings) -> None:
        self._whole = whole
        self._settings = settings
        self._process = Process(MemoryLog(whole.partitions), settings)
        self._next = [0] * whole.partitions
        self._published: defaultdict[int, list[Output]] = defaultdict(list)
        self._states: dict[tuple[int, int, frozenset[int]], dict[bytes, bytes]] = {}

    def published(self, partition: int, below: int) -> dict[str, list[object]]:
        """What the partition's records below an offset lead to."""
        for record in self._whole.read(
            self._settings.topics.interactions, partition, self._next[partition]
        ):
            if record.offset >= below:
                break
            self._published[partition] += self._process.recommender.process([record]).outputs
            self._next[partition] = record.offset + 1
        return published(self._settings, self._published[partition])

    def state(
        self, partition: int, below: int, gone: frozenset[int] = frozenset()
    ) -> dict[bytes, bytes]:
        """`pure_state` of the whole log, worked out once."""
        place = (partition, below, gone)
        if place not in self._states:
            self._states[place] = pure_state(self._whole, self._settings, *place)
        return self._states[place]
