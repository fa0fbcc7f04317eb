"""`metarec learn`: the outer loop, from logged tasks to meta versions."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal, Self

import structlog
from annotated_types import Ge
from cyclopts import Parameter
from prometheus_client import CollectorRegistry

from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.learner.place import Place, place_of
from metarec_stream.metrics import LearnerMetrics
from metarec_stream.service.health import HealthServer, Readiness
from metarec_stream.settings_sources import BadConfiguration

if TYPE_CHECKING:
    from metarec_stream.contract.meta_version import MetaVersion
    from metarec_stream.evaluate.dataset import Columns

logger = structlog.get_logger()


def learn(
    *,
    history: Path | None = None,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    time_unit: Literal["s", "ms", "us", "ns"] = "s",
    type_: Annotated[str | None, Parameter(name="--type")] = None,
    value: str | None = None,
    limit: Annotated[int | None, Ge(1)] = None,
    settings: Annotated[Settings, Parameter(parse=False)],
) -> int:
    """Run the outer loop on logged tasks and publish meta versions, until SIGINT or SIGTERM.

    Under torchrun, the processes learn one version together: rank 0 as without, led by it the rest.

    Parameters
    ----------
    history
        A .parquet, .csv or .jsonl file of past events, one a row: learned first, and published as
        version 1 if there is no version yet.
    user
        The history's column of user ids.
    item
        The history's column of item ids.
    time
        The history's column of times.
    time_unit
        What a time column of numbers counts.
    type_
        The history's column of interaction types; all are `click` without it.
    value
        The history's column of values.
    limit
        Take only the first rows of the history.
    """
    place = place_of(os.environ)
    columns = {"user": user, "item": item, "time": time, "type": type_, "value": value}
    past = _past(history, columns, time_unit, limit, place)
    if place.rank > 0:
        return _follow(settings, place)
    registry = CollectorRegistry()
    metrics = LearnerMetrics(registry)
    readiness = Readiness(learner="starting: loading torch, waiting for brokers and topics")
    http = settings.http
    with _Signals() as signals:
        try:
            with HealthServer(http.host, http.learner_port, registry, readiness):
                first = _first_version(past, settings, readiness) if past else None
                _learn(settings, metrics, readiness, signals, place, first)
        except KeyboardInterrupt:
            logger.info("learner_interrupted")
    logger.info("learner_stopped")
    return 0


@dataclass(frozen=True, slots=True)
class _Past:
    """A file of past events to begin with."""

    path: Path
    columns: Columns
    limit: int | None


def _past(
    path: Path | None,
    given: dict[str, str | None],
    time_unit: Literal["s", "ms", "us", "ns"],
    limit: int | None,
    place: Place,
) -> _Past | None:
    if path is None:
        if any(given.values()) or limit:
            raise BadConfiguration("columns and a limit are of a file: name it with --history FILE")
        return None
    if place.size > 1:
        raise BadConfiguration(
            "a history is learned by one process: run `metarec learn --history` without torchrun "
            "until it has published version 1, then start it under torchrun without --history"
        )
    from metarec_stream.evaluate.dataset import columns_of

    return _Past(path, columns_of(path, given, time_unit), limit)


def _first_version(past: _Past, settings: Settings, readiness: Readiness) -> MetaVersion | None:
    from metarec_stream.commands.history import version_from_history

    readiness.wait("learner", f"learning the history {past.path}")
    return version_from_history(past.path, past.columns, past.limit, settings, SystemClock())


def _learn(
    settings: Settings,
    metrics: LearnerMetrics,
    readiness: Readiness,
    signals: _Signals,
    place: Place,
    first: MetaVersion | None,
) -> None:
    # Torch takes seconds to import: by now the health of the process can be asked for.
    from metarec_stream.learner.service import LearnerService

    with closing(LearnerService(settings, metrics, SystemClock(), place, first)) as service:
        signals.looping.set()
        service.run(signals.stop, on_turn=lambda: readiness.done("learner"))


def _follow(settings: Settings, place: Place) -> int:
    from metarec_stream.learner.leader import follow
    from metarec_stream.learner.processes import Processes

    processes = Processes(settings.learn, place)
    # A process that waits for its leader hears no handler: until there is one, a signal ends it.
    with ExitStack() as stack:
        signals = _Signals()

        def on_begin() -> None:
            stack.enter_context(signals)
            signals.looping.set()
            logger.info("learner_follows", rank=place.rank, device=str(processes.device))

        follow(processes, signals.stop, on_begin)
    logger.info("learner_stopped", rank=place.rank)
    return 0


class _Signals:
    """SIGINT and SIGTERM: once the loop runs, the first sets `stop`; any other interrupts.

    So a start that waits for brokers ends at once, and a loop ends between two steps.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.looping = threading.Event()

    def __enter__(self) -> Self:
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = [(number, signal.signal(number, self._handle)) for number in numbers]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.stop.is_set() or not self.looping.is_set():
            raise KeyboardInterrupt
        self.stop.set()
