"""One fault from start to certificate: topics, processes and load of its own on a shared broker."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec

from metarec_stream.chaos.broker import KillableBroker
from metarec_stream.chaos.fault import Fault
from metarec_stream.chaos.fleet import LEARNER, Fleet, consumer
from metarec_stream.chaos.load import Load, events_of
from metarec_stream.chaos.outcome import Outcome, Timing, counts_of
from metarec_stream.chaos.plan import Planned
from metarec_stream.chaos.positions import Positions
from metarec_stream.chaos.site import Site
from metarec_stream.chaos.watch import AnswerWatch
from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.demo.topics import with_own_names
from metarec_stream.errors import Fatal
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.verify.certificate import Certificate
from metarec_stream.verify.kafka_log import KafkaLog
from metarec_stream.verify.presentation import write_json
from metarec_stream.verify.verification import Verification

BEFORE = 0.2
"""Share of the load that is posted before a fault is done."""
START_LIMIT_S = 600.0
"""A first start compiles the kernels, all processes at once."""
CERTIFICATE = "certificate.json"


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """How large a trial is."""

    events: int
    seconds: float
    """How long posting them takes."""
    consumers: int
    learners: int

    def of(self, fault: Fault) -> Scale:
        """The same rate for as long as the fault takes."""
        if fault.load_s is None or fault.load_s <= self.seconds:
            return self
        events = round(self.events * fault.load_s / self.seconds)
        return msgspec.structs.replace(self, events=events, seconds=fault.load_s)


class Trial:
    """Carries one planned fault out. `say` is told what happens; `folder` gets logs and result."""

    def __init__(
        self,
        settings: Settings,
        broker: KillableBroker,
        fault: Fault,
        planned: Planned,
        scale: Scale,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        kafka = settings.kafka.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        own = settings.model_copy(update={"kafka": kafka, "emit": "per_event"})
        self.settings = self._settings = with_own_names(own, f"chaos-{fault.name}")
        self._broker = broker
        self._fault = fault
        self._planned = planned
        self._scale = scale.of(fault)
        self._folder = folder
        self._say = say
        self._site: Site | None = None
        self._timing = Timing()
        self._warned: dict[str, int] = {}

    def outcome(self) -> Outcome:
        """Do it; a trial that does not come to its end is an outcome, too."""
        started = time.monotonic()
        fault, planned = self._fault, self._planned
        row = Outcome(
            fault=fault.name, what=fault.what, victim=planned.victim, crash_at=planned.crash_at,
            expected=fault.expected, verdict="failed",
        )  # fmt: skip
        try:
            self._harm()
            self._say("verifying")
            counts = counts_of(self._certificate())
            row = msgspec.structs.replace(row, **msgspec.structs.asdict(counts))
        except Fatal as error:
            row = msgspec.structs.replace(row, note=str(error))
        return msgspec.structs.replace(
            row, timing=self._timing, warned=self._warned, ended=self._ended(),
            seconds=round(time.monotonic() - started, 1),
        )  # fmt: skip

    def _harm(self) -> None:
        """Everything up to the end of the consumers, who leave by SIGTERM."""
        settings, scale = self._settings, self._scale
        ensure_topics(settings)
        events = events_of(scale.events, self._planned.seed)
        with ExitStack() as stack:
            fleet = stack.enter_context(Fleet(settings, self._folder, self._fault.environment))
            load = stack.enter_context(Load(settings, events, scale.events / scale.seconds))
            positions = stack.enter_context(Positions(settings))
            watch = stack.enter_context(AnswerWatch(settings))
            self._site = site = Site(
                settings, self._broker, fleet, load, positions, consumer(self._planned.victim),
                random.Random(self._planned.seed),
            )  # fmt: skip
            try:
                self._bring_up(site)
                self._do(site, watch)
                fleet.stop_consumers()
            finally:
                self._warned = fleet.warned()

    def _bring_up(self, site: Site) -> None:
        self._say("starting the processes")
        for number in range(1, self._scale.consumers + 1):
            name = consumer(number)
            site.fleet.start(name, self._planned.crash_at if name == site.victim else "")
        if self._scale.learners:
            site.fleet.start(LEARNER)
        site.wait(
            lambda: site.fleet.not_ready() is None, "the processes were not ready", START_LIMIT_S
        )
        site.wait(lambda: self._all_own(site), "the consumers did not share the partitions")

    def _do(self, site: Site, watch: AnswerWatch) -> None:
        self._say(f"posting {self._scale.events:,} events")
        load = site.load
        load.start()
        site.wait(lambda: load.ended or load.share >= BEFORE, "Kafka did not take the events")
        self._say(self._fault.what)
        self._fault.act(site)
        self._say("waiting until the input is drained")
        site.wait(lambda: load.ended, "Kafka did not take the events")
        site.wait(site.positions.drained, "the input was not drained")
        self._timing = self._measured(site, watch)
        site.wait(lambda: site.fleet.not_ready() is None, "not all processes came back")
        load.probe()
        site.wait(site.positions.drained, "the last tenth of the events was not drained")

    def _measured(self, site: Site, watch: AnswerWatch) -> Timing:
        everyone = frozenset(range(self._settings.topics.partitions))
        moved = site.moved()

        def longest(partitions: frozenset[int]) -> float | None:
            return _rounded(watch.longest_silence(partitions, site.hit_at))

        return Timing(
            harmed_s=longest(site.harmed),
            moved_s=longest(moved),
            others_s=longest(everyone - site.harmed - moved),
            by_partition={number: longest(frozenset((number,))) for number in sorted(everyone)},
            harmed=sorted(site.harmed),
            moved=sorted(moved),
        )

    def _all_own(self, site: Site) -> bool:
        """Whether the partitions are shared out, and everybody has one; a dead one had."""
        owned = [member.owned() for member in site.fleet.consumers()]
        crashed = bool(site.fleet.endings)
        return crashed or (all(owned) and sum(map(len, owned)) == self._settings.topics.partitions)

    def _certificate(self) -> Certificate:
        with closing(KafkaLog(self._settings)) as log:
            certificate = Verification(self._settings, log, SystemClock()).certificate()
        write_json(certificate, self._folder / CERTIFICATE)
        return certificate

    def _ended(self) -> list[str]:
        endings = self._site.fleet.endings if self._site else []
        return [f"{each.name}: {each.status}" for each in endings]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
