"""A service's run over the in-memory log, and verification of what it left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.catalogue.settings import CatalogueSettings
from metarec_stream.clock import ManualClock
from metarec_stream.config import Settings
from metarec_stream.contract.codec import encode_interaction
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.transport import Output, Record
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.memory.log import MemoryLog, MemoryRecord
from metarec_stream.pipeline.settings import BatchSettings, GuardSettings
from metarec_stream.state.settings import StateSettings
from metarec_stream.verify.certificate import Certificate
from metarec_stream.verify.verification import Verification
from tests.pipeline.process import Process

SETTINGS = Settings(
    emit="per_event",
    batch=BatchSettings(max_records=8),
    guard=GuardSettings(event_ids=5, lateness_s=60.0, max_value_bytes=400),
    state=StateSettings(ring=4, checkpoint_every_s=1.0, ttl_s=60.0),
    catalogue=CatalogueSettings(neighbours=8),
    value_sum=ValueSumSettings(dimensions=4, window=4),
    learn=LearnSettings(strongest=4, random=2),
)
NOW = 1_700_000_000_000
Event = Interaction | bytes | None
"""Bytes and None: a value that is no interaction."""


class VerifiedLog:
    """Meets `verify.log.Log` over the in-memory log."""

    def __init__(self, log: MemoryLog, settings: Settings) -> None:
        self._log = log
        self._settings = settings
        self.partitions = log.partitions

    def committed(self, partition: int) -> int | None:
        group, topic = self._settings.kafka.group, self._settings.topics.interactions
        return self._log.committed(group, topic, partition)

    def span(self, topic: str, partition: int) -> tuple[int, int]:
        return self._log.begin(topic, partition), self._log.end(topic, partition)

    def records(self, topic: str, partition: int, first: int = 0) -> Iterator[Record]:
        yield from self._log.read(topic, partition, first)


def post(log: MemoryLog, events: Sequence[Event], settings: Settings = SETTINGS) -> None:
    """Append to partition 0 of the input."""
    for event in events:
        key = event.user.encode() if isinstance(event, Interaction) else b"key"
        value, headers = (
            encode_interaction(event) if isinstance(event, Interaction) else (event, ())
        )
        log.append(Output(settings.topics.interactions, 0, key, value, headers), NOW)


def run_service(log: MemoryLog, settings: Settings = SETTINGS) -> Process:
    """A process takes all there is and ends well."""
    process = Process(log, settings)
    process.drain()
    process.finish()
    return process


def served(events: Sequence[Event], settings: Settings = SETTINGS) -> MemoryLog:
    """The log after a service's run over these events."""
    log = MemoryLog()
    post(log, events, settings)
    run_service(log, settings)
    return log


def verified(
    log: MemoryLog, settings: Settings = SETTINGS, *, show_users: bool = False
) -> Certificate:
    """The certificate of the log."""
    logged = VerifiedLog(log, settings)
    clock = ManualClock(NOW)
    return Verification(settings, logged, clock, show_users=show_users).certificate()


def rewritten(
    log: MemoryLog, topic: str, change: Callable[[MemoryRecord], Sequence[MemoryRecord]]
) -> None:
    """Put others in the place of a topic's records in partition 0, at their offsets."""
    kept = log._partition(topic, 0)
    kept.records = [new for record in kept.records for new in change(record)]
