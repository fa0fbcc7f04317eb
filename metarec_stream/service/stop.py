"""How a process is told to end: SIGTERM or SIGINT, at a moment that suits it."""

from __future__ import annotations

import math
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import structlog

log = structlog.get_logger()

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequested(BaseException):
    """The process was told to end; it unwinds and exits with status 0.

    No Exception: what the compiler or a library catches while starting must not stop it.
    """


class StopSignal:
    """Catches the signals while it is entered.

    Until `defer` is called a signal raises StopRequested on the main thread at once, so that
    waiting for brokers and compiling end there. Afterwards it is only noted, and `requested`
    says so between two batches. A process that is still there `grace_s` after the signal is ended
    with status 1: as after any crash, the next one loses nothing.
    """

    def __init__(self, grace_s: float = math.inf) -> None:
        self.requested = False
        self._grace_s = grace_s
        self._deadline: threading.Timer | None = None
        self._deferred = False
        self._before: dict[int, Any] = {}

    def defer(self) -> None:
        self._deferred = True

    def __enter__(self) -> StopSignal:
        self._before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        for number, before in self._before.items():
            signal.signal(number, before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if self._deadline is None and self._grace_s < math.inf:
            self._deadline = threading.Timer(self._grace_s, self._cut_short)
            self._deadline.daemon = True
            self._deadline.start()
        if not self._deferred:
            self._deferred = True
            raise StopRequested

    def _cut_short(self) -> None:
        log.error("grace_period_over", seconds=self._grace_s)
        os._exit(1)
