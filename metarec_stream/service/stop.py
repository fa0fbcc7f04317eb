"""How a process is told to end: SIGTERM or SIGINT, at a moment that suits it."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequested(BaseException):
    """The process was told to end; it unwinds and exits with status 0.

    No Exception: what the compiler or a library catches while starting must not stop it.
    """


class StopSignal:
    """Catches the signals while it is entered.

    Until `defer` is called a signal raises StopRequested on the main thread at once, so that
    waiting for brokers and compiling end there. Afterwards it is only noted, and `requested`
    says so between two batches.
    """

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False
        self._before: dict[int, Any] = {}

    def defer(self) -> None:
        self._deferred = True

    def check(self) -> None:
        """Raise StopRequested if a signal has come."""
        if self.requested:
            raise StopRequested

    def __enter__(self) -> StopSignal:
        self._before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if not self._deferred:
            self._deferred = True
            raise StopRequested
