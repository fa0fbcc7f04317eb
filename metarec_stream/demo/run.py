"""The demo: starts everything, posts the bundled purchases, watches, sums up, leaves nothing."""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from metarec_stream.client.subscriber import RecommendationSubscriber
from metarec_stream.config import Settings
from metarec_stream.datasets import online_retail
from metarec_stream.demo.environment import environment_of
from metarec_stream.demo.interruption import Interruption
from metarec_stream.demo.live import View, view
from metarec_stream.demo.measurements import Reading, not_ready, read_consumer
from metarec_stream.demo.processes import Subcommand, Subcommands, free_port
from metarec_stream.demo.report import SETTLED_AFTER_S, Report
from metarec_stream.demo.stay import how_to_take_part
from metarec_stream.demo.topics import delete_topics, published_versions, with_own_names
from metarec_stream.errors import Fatal
from metarec_stream.kafka.embedded import EmbeddedBroker

INTERRUPTED = 130
_TICK_S = 0.5
_READY_LIMIT_S = 300.0
_DRAIN_LIMIT_S = 300.0


@dataclass(frozen=True)
class Plan:
    """What is asked of a run."""

    events: int
    """Rows to post."""
    seconds: float
    """How long posting them is to take."""
    json: Path | None = None
    """Where the figures go."""
    keep: bool = False
    """Whether everything stays up afterwards."""
    own_broker: bool = True
    """Whether to start one; else the settings' brokers are used, with topics of our own."""


def run(settings: Settings, plan: Plan) -> int:
    """Carry out the plan; 0, or 130 if it was interrupted before its summary.

    Raises Fatal if a part does not start, ends early, or does not keep up. However this ends, what
    it has started is stopped and what it has written, but the JSON file, is removed.
    """
    console = Console()
    with Interruption() as interruption, ExitStack() as stack:
        demo = Demo(plan, console, interruption, stack)
        try:
            with interruption.allowed():
                demo.start(settings)
                demo.post()
                demo.stay()
        except KeyboardInterrupt:
            console.print("stopping everything", highlight=False)
    return 0 if demo.finished else INTERRUPTED


class Demo:
    """One run; what has to be undone at its end goes onto the stack."""

    def __init__(
        self, plan: Plan, console: Console, interruption: Interruption, stack: ExitStack
    ) -> None:
        self.finished = False
        self._plan = plan
        self._console = console
        self._interruption = interruption
        self._stack = stack
        self._customer = online_retail.busiest_customer(plan.events)
        titles = {item.item: item.title or item.item for item in online_retail.items(plan.events)}
        self._view: View = view(console, plan.events, self._customer, titles)

    def start(self, settings: Settings) -> None:
        """Bring up broker, learner and consumer; returns once both are ready."""
        with self._interruption.held():
            folder = Path(tempfile.mkdtemp(prefix="metarec-demo-"))
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self._settings = self._with_ports(self._with_broker(settings))
        # Torch leaves a cache in the temporary folder, and the learner its curves and checkpoints
        # in the state folder: here they go with the rest.
        folders = {"TMPDIR": str(folder), "XDG_STATE_HOME": str(folder)}
        self._environment = {**environment_of(self._settings), **folders}
        self._subcommands = Subcommands(folder)
        self._stack.callback(self._subcommands.stop)
        self._say("starting the learner and the consumer")
        for name in ("learn", "serve"):
            self._subcommand(name)
        self._wait_until_ready()

    def post(self) -> None:
        """Stream the purchases through, showing what happens, and sum up."""
        rate = self._plan.events / self._plan.seconds
        self._say(f"posting {self._plan.events:,} purchases in about {self._plan.seconds:g} s")
        topics, kafka = self._settings.topics, self._settings.kafka
        with RecommendationSubscriber(kafka, topics=topics, user=self._customer) as subscriber:
            arguments = ("online-retail", "--limit", str(self._plan.events), "--rate", f"{rate}/s")
            producer = self._subcommand("produce", *arguments)
            with self._view:
                reading, settled, seconds = self._watch(producer, subscriber)
        versions = published_versions(self._settings)
        report = Report(reading, seconds, versions, settled)
        self._console.print(report.summary(), markup=False, highlight=False, soft_wrap=True)
        if self._plan.json is not None:
            report.write(self._plan.json)
        self.finished = True

    def stay(self) -> None:
        """With `keep`, leave everything running until Ctrl-C."""
        if not self._plan.keep:
            return
        self._console.print(
            how_to_take_part(self._settings), markup=False, highlight=False, soft_wrap=True
        )
        while True:
            self._subcommands.check(self._say)
            self._pause()

    def _with_broker(self, settings: Settings) -> Settings:
        if not self._plan.own_broker:
            own = with_own_names(settings, f"demo-{uuid.uuid4().hex[:8]}")
            self._stack.callback(delete_topics, own)
            return own
        # Interrupted only where it reports progress, so that no half-started broker is lost.
        with self._interruption.held():
            broker = EmbeddedBroker(None, None, self._progress)
            self._stack.callback(broker.stop)
        kafka = settings.kafka.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        return settings.model_copy(update={"kafka": kafka})

    def _with_ports(self, settings: Settings) -> Settings:
        ports = {"host": "127.0.0.1", "port": free_port(), "learner_port": free_port()}
        return settings.model_copy(update={"http": settings.http.model_copy(update=ports)})

    def _progress(self, text: str) -> None:
        self._interruption.check()
        self._say(text)

    def _subcommand(self, *arguments: str) -> Subcommand:
        with self._interruption.held():
            return self._subcommands.start(arguments, self._environment)

    def _wait_until_ready(self) -> None:
        http = self._settings.http
        deadline = time.monotonic() + _READY_LIMIT_S
        for name, port in (("learner", http.learner_port), ("consumer", http.port)):
            said = ""
            while reason := not_ready(port):
                if time.monotonic() > deadline:
                    raise Fatal(f"the {name} is not ready after {_READY_LIMIT_S:g} s: {reason}")
                if reason != said:
                    said = reason
                    self._say(f"the {name} is not ready: {reason}")
                self._subcommands.check(self._say)
                self._pause()
            self._say(f"the {name} is ready")

    def _watch(
        self, producer: Subcommand, subscriber: RecommendationSubscriber
    ) -> tuple[Reading, Reading | None, float]:
        """Show what happens until all is worked off: the last reading and the seconds it took.

        Between them the first reading after SETTLED_AFTER_S, or None.
        """
        started = quiet_since = time.monotonic()
        reading, settled = Reading(), None
        while reading.handled < self._plan.events or reading.lag > 0:
            self._subcommands.check(self._say)
            self._interruption.check()
            lists = subscriber.poll(_TICK_S)
            before, reading = reading.handled, read_consumer(self._settings.http.port) or reading
            now = time.monotonic()
            if not before:
                started = now - _TICK_S
            if settled is None and now - started >= SETTLED_AFTER_S:
                settled = reading
            if reading.handled > before or producer.status is None:
                quiet_since = now
            self._view.show(reading, lists[-1] if lists else None)
            if now - quiet_since > _DRAIN_LIMIT_S:
                raise Fatal(_stuck(reading, self._plan.events))
        return reading, settled, time.monotonic() - started

    def _pause(self) -> None:
        self._interruption.check()
        time.sleep(_TICK_S)

    def _say(self, text: str) -> None:
        self._view.say(text)


def _stuck(reading: Reading, events: int) -> str:
    return (
        f"the consumer stands still at {reading.handled:,} of {events:,} events with a lag of "
        f"{reading.lag:,.0f}: run the parts by themselves (`metarec broker`, `serve`, `learn`, "
        "`produce online-retail`) and look at the consumer's log"
    )
