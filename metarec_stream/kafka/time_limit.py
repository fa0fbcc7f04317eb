"""A limit for calls of the Kafka library that may wait for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue

_Call = tuple["Future[None]", Callable[[], None]]


class TimeLimit:
    """Makes calls on one thread of its own and waits for each no longer than its limit.

    The thread is a daemon: a call that never returns keeps the thread, not the process.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._stuck = False
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def call(self, function: Callable[[], None], limit_s: float) -> None:
        """Call a function; raises what it raises, and TimeoutError if it takes longer.

        After a first TimeoutError the thread is taken, so every later call raises it at once.
        """
        if self._stuck:
            raise TimeoutError("an earlier call has not returned")
        done: Future[None] = Future()
        self._calls.put((done, function))
        try:
            done.result(limit_s)
        except TimeoutError:
            self._stuck = not done.done()
            raise

    def close(self) -> None:
        """Let the thread end after the call that it is in."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            done, function = call
            try:
                function()
            except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
                done.set_exception(error)
            else:
                done.set_result(None)
