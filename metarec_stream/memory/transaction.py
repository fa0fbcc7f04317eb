"""The output's transactional producer over the in-memory log: buffered until the commit."""

from __future__ import annotations

from collections.abc import Mapping

from metarec_stream.contract.transport import Aborted, Output
from metarec_stream.errors import Fatal
from metarec_stream.memory.log import MemoryLog, MemoryRecord
from metarec_stream.memory.source import MemoryGeneration


class MemoryTransaction:
    """One open transaction at a time; the latest producer with an id fences the others.

    Raises as Kafka's: Fatal for a fenced producer, Aborted for offsets of a stale generation.
    """

    def __init__(
        self, log: MemoryLog, input_topic: str, transactional_id: str = "metarec.metarec.0"
    ) -> None:
        self._log = log
        self._input_topic = input_topic
        self._id = transactional_id
        self._epoch = log.fence(transactional_id)
        self._outputs: list[Output] = []
        self._appended: list[MemoryRecord] = []
        self._offsets: dict[int, int] = {}
        self._group = ""
        self._open = False

    def begin(self) -> None:
        if self._open:
            raise Fatal(f"a transaction of {self._id} is open already: commit or abort it first")
        self._open = True

    def send_offsets(self, offsets: Mapping[int, int], group_metadata: object) -> None:
        self._check()
        if not isinstance(group_metadata, MemoryGeneration):
            raise Fatal(f"the group metadata {group_metadata!r} is not of an in-memory source")
        if self._log.generation(group_metadata.group) != group_metadata.number:
            raise Aborted(
                f"generation {group_metadata.number} of group {group_metadata.group} is stale: "
                f"another member owns {self._input_topic}; nothing was written"
            )
        self._group = group_metadata.group
        self._offsets.update(offsets)

    def send(self, output: Output) -> None:
        self._check()
        self._outputs.append(output)

    def commit(self) -> None:
        self._check()
        self._log.commit(self._group, self._input_topic, self._offsets)
        self._appended = [self._log.append(output) for output in self._outputs]
        self._close()

    def ends(self, topic: str) -> Mapping[int, int]:
        return {each.partition: each.offset + 1 for each in self._appended if each.topic == topic}

    def abort(self) -> None:
        self._check()
        self._close()

    def renew(self) -> None:
        self._epoch = self._log.fence(self._id)
        self._close()

    def _check(self) -> None:
        if self._log.epoch(self._id) != self._epoch:
            raise Fatal(
                f"the producer {self._id} was fenced by a later one with the same transactional "
                "id: give each process its own instance_id, or none"
            )
        if not self._open:
            raise Fatal(f"no transaction of {self._id} is open: begin one first")

    def _close(self) -> None:
        self._outputs = []
        self._offsets = {}
        self._open = False
