"""The service's processes: consumers and a learner, started, harmed and started again by name."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from metarec_stream.config import Settings
from metarec_stream.crash_points import VARIABLE
from metarec_stream.demo.environment import environment_of
from metarec_stream.demo.measurements import not_ready
from metarec_stream.errors import Fatal
from metarec_stream.kafka.child import Child, start_child

LEARNER = "learner"
MOST_STARTS = 60
"""Of one process: one that ends again and again is not started for ever."""
TELLING = (
    "cold_users_not_written",
    "meta_version_refused",
    "partition_degraded",
    "state_rebuilt",
)
"""Events of a consumer's log that say what it found damaged."""
_LEAVE_S = 40.0


def consumer(number: int) -> str:
    """The name of a consumer."""
    return f"consumer-{number}"


def entries(log: Path) -> list[dict[str, Any]]:
    """A process's log so far, without lines that are not of ours."""
    lines = log.read_text("utf-8", errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


@dataclass(frozen=True)
class Member:
    """A running process, or one that has ended."""

    name: str
    child: Child
    log: Path

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self.child.wait(0.0)

    def said(self, event: str) -> dict[str, Any] | None:
        """The first entry of this name in its log."""
        return next((line for line in entries(self.log) if line["event"] == event), None)

    def waits_for(self) -> str | None:
        """Why it is not ready, or None if it is."""
        serving = self.said("http_serving")
        return "it does not serve HTTP yet" if serving is None else not_ready(serving["port"])

    def owned(self) -> frozenset[int]:
        """The partitions that it has as far as it knows."""
        held: set[int] = set()
        for line in entries(self.log):
            if line["event"] == "partitions":
                change = held.update if line["change"] == "assigned" else held.difference_update
                change(line["partitions"])
        return frozenset(held)


@dataclass(frozen=True)
class Ending:
    """That a process ended, and was started again."""

    name: str
    status: int
    at: float
    """By the monotonic clock, seconds; as it was noticed."""
    owned: frozenset[int]


class Fleet:
    """All of them, as a context manager that leaves none behind.

    `tend` is what a supervisor does: a process that ended, and is wanted, is started again.
    """

    def __init__(
        self, settings: Settings, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """`folder`: their logs, and what they keep in the temporary and the state folder.

        `environment`: what all of them have in it beside the settings; `{name}` stands for the
        process's own.
        """
        http = settings.http.model_copy(update={"host": "127.0.0.1", "port": 0, "learner_port": 0})
        log = settings.log.model_copy(update={"format": "json", "level": "info"})
        self._settings = settings.model_copy(update={"http": http, "log": log})
        self._folder = folder
        self._environment = dict(environment or {})
        self._members: dict[str, Member] = {}
        self._starts: dict[str, int] = {}
        self.endings: list[Ending] = []

    def start(self, name: str, crash_at: str = "") -> None:
        """Start a process; `crash_at`: where it kills itself. Raises Fatal at too many starts."""
        count = self._starts[name] = self._starts.get(name, 0) + 1
        if count > MOST_STARTS:
            raise Fatal(f"{name} ended {MOST_STARTS} times: {self._last_words(name)}")
        command = "learn" if name == LEARNER else "serve"
        log = self._folder / f"{name}.{count}.log"
        environment = {
            **environment_of(self._settings),
            **{key: value.format(name=name) for key, value in self._environment.items()},
            "TMPDIR": str(self._folder),
            "XDG_STATE_HOME": str(self._folder),
        }
        environment.pop(VARIABLE, None)
        if crash_at:
            environment[VARIABLE] = crash_at
        arguments = [sys.executable, "-m", "metarec_stream", command]
        child = start_child(arguments, Path.cwd(), log, environment)
        self._members[name] = Member(name, child, log)

    def member(self, name: str) -> Member:
        """The running one of this name. Raises Fatal if there is none."""
        if name not in self._members:
            raise Fatal(f"there is no {name} in this run (--consumers, --learners)")
        return self._members[name]

    def tend(self) -> None:
        """Start again what has ended, without a crash point."""
        for name, member in list(self._members.items()):
            status = member.status
            if status is not None:
                ending = Ending(name, status, time.monotonic(), member.owned())
                self.endings.append(ending)
                self.start(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal; one to a process that has ended is none."""
        member = self.member(name)
        if member.status is None:
            os.kill(member.child.pid, number)

    def remove(self, name: str) -> int:
        """Ask one to end, and wait; its exit status. Raises Fatal if it does not end."""
        self.signal(name, signal.SIGTERM)
        status = self._members.pop(name).child.wait(_LEAVE_S)
        if status is None:
            raise Fatal(f"{name} did not end within {_LEAVE_S:g} s of SIGTERM")
        return status

    def owned_by_others(self, name: str) -> frozenset[int]:
        """The partitions that all consumers but this one have."""
        others = (each.owned() for each in self.consumers() if each.name != name)
        return frozenset().union(*others)

    def consumers(self) -> list[Member]:
        """Those that are wanted."""
        return [each for name, each in self._members.items() if name != LEARNER]

    def not_ready(self) -> str | None:
        """What the first of them waits for that is not ready."""
        for member in self._members.values():
            reason = member.waits_for()
            if reason is not None:
                return f"{member.name}: {reason}"
        return None

    def moves(self) -> Counter[int]:
        """How often each partition came to a consumer or went from one, as their logs say."""
        found = Counter[int]()
        for log in sorted(self._folder.glob("consumer-*.log")):
            for line in entries(log):
                found.update(line["partitions"] if line["event"] == "partitions" else ())
        return found

    def warned(self) -> dict[str, int]:
        """What all consumers logged that tells of damage which they found, by event."""
        found = Counter[str]()
        for log in sorted(self._folder.glob("consumer-*.log")):
            found.update(line["event"] for line in entries(log) if line["event"] in TELLING)
        return dict(sorted(found.items()))

    def stop_consumers(self) -> None:
        """SIGTERM to all at once. Raises Fatal if one does not end, or not with status 0."""
        members = self.consumers()
        for member in members:
            self.signal(member.name, signal.SIGTERM)
        for member in members:
            status = member.child.wait(_LEAVE_S)
            if status != 0:
                raise Fatal(
                    f"{member.name} ended with status {status} after SIGTERM: "
                    f"{self._last_words(member.name)}"
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for member in self._members.values():
            member.child.end(0.0)

    def _last_words(self, name: str) -> str:
        lines = self._members[name].log.read_text("utf-8", errors="replace").splitlines()
        return lines[-1][:400] if lines else "its log is empty"
