"""The log of a running or stopped service on Kafka, its ends fixed so that they fit together."""

from __future__ import annotations

from collections.abc import Iterator

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Fatal
from metarec_stream.kafka.fixed_log import FixedLog
from metarec_stream.kafka.rights import verify_rights


class KafkaLog:
    """Meets `verify.log.Log`. Raises Fatal if the brokers or a topic are not there.

    The group's offsets come first, then the ends of the outputs, once the transactions that are
    open on them have ended, then the end of the input: so what was answered below the group's
    offsets is all within the ends, and so is every record that an answer is for.
    """

    def __init__(self, settings: Settings) -> None:
        topics = settings.topics
        outputs = (topics.recommendations, topics.dead_letters_topic(), topics.state)
        names = (topics.interactions, *outputs)
        self._log = FixedLog(settings, names, verify_rights(settings))
        try:
            self.partitions = self._same_partitions()
            self._committed = self._log.committed()
            for topic in outputs:
                self._log.settle(topic)
            self._log.fix(topics.interactions)
        except BaseException:
            self.close()
            raise

    def committed(self, partition: int) -> int | None:
        return self._committed[partition]

    def span(self, topic: str, partition: int) -> tuple[int, int]:
        return self._log.span(topic, partition)

    def records(self, topic: str, partition: int, first: int = 0) -> Iterator[Record]:
        return self._log.records(topic, partition, first)

    def close(self) -> None:
        """Disconnect."""
        self._log.close()

    def _same_partitions(self) -> int:
        counts = self._log.partitions
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{topic} {count}" for topic, count in counts.items())
            raise Fatal(
                f"the topics differ in their partitions ({said}): the service does not start on "
                "them; correct the names under METAREC_TOPICS__"
            )
        return next(iter(counts.values()))
