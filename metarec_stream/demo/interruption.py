"""Ctrl-C at any moment: one exception in the main thread, and never one while cleaning up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """While entered, the signals that end a process are noted; inside `allowed` they raise.

    KeyboardInterrupt is raised once at most for each `allowed`, so that a second Ctrl-C does not
    cut the cleaning up short; once one came, signals are ignored afterwards too, for the process is
    about to end. Enter it in the main thread: elsewhere signals keep their meaning.
    """

    def __init__(self) -> None:
        self.requested = False
        self._raising = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_IGN if self.requested else handler)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Where a signal raises KeyboardInterrupt, also one that came before."""
        try:
            self._raising = True
            self.check()
            yield
        finally:
            self._raising = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside `allowed`, a stretch that is carried out whole; the signal raises after it."""
        self._raising = False
        try:
            yield
        finally:
            self._raising = True
        self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came, even where a library swallowed the first."""
        if self.requested:
            self._raising = False
            raise KeyboardInterrupt

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        if self._raising:
            self._raising = False
            raise KeyboardInterrupt
