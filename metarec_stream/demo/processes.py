"""The demo's processes: started, watched and stopped by their pid."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metarec_stream.errors import Fatal
from metarec_stream.kafka.child import Child, start_child

_GRACE_S = 8.0
_TAIL_LINES = 20


@dataclass(frozen=True)
class Subcommand:
    """A subcommand of `metarec` as a process, which ends with this one at the latest."""

    name: str
    child: Child
    log: Path

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self.child.wait(0.0)

    def tail(self) -> list[str]:
        """The last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return lines[-_TAIL_LINES:]


class Subcommands:
    """Those that were started here. A Ctrl-C in the terminal does not reach them."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where their logs go."""
        self._folder = folder
        self._started: list[Subcommand] = []

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Subcommand:
        """Start `metarec ARGUMENTS`, named after the first of them."""
        name = arguments[0]
        log = self._folder / f"{name}.log"
        command = [sys.executable, "-m", "metarec_stream", *arguments]
        subcommand = Subcommand(name, start_child(command, Path.cwd(), log, environment), log)
        self._started.append(subcommand)
        return subcommand

    def check(self, say: Callable[[str], None]) -> None:
        """Raise Fatal if one has ended with an error, after saying the end of its log."""
        for subcommand in self._started:
            status = subcommand.status
            if status:
                lines = subcommand.tail()
                say("\n".join(lines))
                raise Fatal(
                    f"`metarec {subcommand.name}` ended with status {status}, see the end of its "
                    f"log above ({lines[-1] if lines else 'it is empty'})"
                )

    def stop(self) -> None:
        """Ask all to end, then wait for each, and kill those that do not."""
        running = [each for each in self._started if each.status is None]
        for subcommand in running:
            _signal(subcommand.child.pid, signal.SIGTERM)
        for subcommand in running:
            if subcommand.child.wait(_GRACE_S) is None:
                subcommand.child.end(0.0)


def free_port() -> int:
    """A TCP port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
