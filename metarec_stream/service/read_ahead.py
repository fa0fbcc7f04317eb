"""Reading on a thread of its own, so that the one that asks for it never waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Hashable, Iterator
from dataclasses import dataclass
from queue import Empty, Full, Queue, SimpleQueue
from typing import Any, Generic, TypeVar

SLICES_AHEAD = 4
"""That are read before the first of them is taken: bounds memory."""
_LOOK_EVERY_S = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Ended:
    """After the last slice; of a failure, with what was raised."""

    error: Exception | None = None


class _Errand(Generic[T]):
    """One thing that was asked for, and what has come of it so far."""

    def __init__(self, begin: Callable[[], Iterator[T]]) -> None:
        self.ended = False
        self._begin = begin
        self._found: Queue[T | _Ended] = Queue(SLICES_AHEAD)
        self._dropped = threading.Event()

    def take(self) -> T | None:
        """What is there; None if nothing is. Raises what reading raised."""
        try:
            found = self._found.get_nowait()
        except Empty:
            return None
        if not isinstance(found, _Ended):
            return found
        self.ended = True
        if found.error is not None:
            raise found.error
        return None

    def drop(self) -> None:
        """Nobody waits for it any more."""
        self._dropped.set()

    def run(self) -> None:
        """On the thread that reads."""
        if self._dropped.is_set():
            return
        try:
            for each in self._begin():
                if not self._put(each):
                    return
        except Exception as error:  # noqa: BLE001 - raised on the thread that asked, by `take`
            self._put(_Ended(error))
        else:
            self._put(_Ended())

    def _put(self, found: T | _Ended) -> bool:
        """False if nobody waits for it."""
        while not self._dropped.is_set():
            try:
                self._found.put(found, timeout=_LOOK_EVERY_S)
            except Full:
                continue
            return True
        return False


class ReadAhead:
    """Does what it is asked for one after the other on a daemon thread; of one owner."""

    def __init__(self, name: str) -> None:
        self._errands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._asked: dict[Hashable, _Errand[Any]] = {}
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def answer(self, question: Hashable, function: Callable[[], T]) -> T | None:
        """What the function returns, once; None while that is not known: ask again.

        Raises what the function raises.
        """
        errand: _Errand[T] | None = self._asked.get(question)
        if errand is None:
            self._asked[question] = self._start(lambda: iter((function(),)))
            return None
        try:
            found = errand.take()
        except Exception:
            del self._asked[question]
            raise
        if found is not None:
            del self._asked[question]
        return found

    def slices(self, begin: Callable[[], Iterator[T]]) -> Generator[T | None, None, None]:
        """What the iterator yields, in order; None while the next is not there.

        Raises what the iterator raises.
        """
        errand = self._start(begin)
        try:
            while not errand.ended:
                found = errand.take()
                if not errand.ended:
                    yield found
        finally:
            errand.drop()

    def do(self, function: Callable[[], object]) -> None:
        """Have a function called in its turn; what it returns or raises is nobody's concern."""
        self._start(lambda: iter((function(),)))

    def forget(self) -> None:
        """Drop all questions that were asked, answered or not."""
        for errand in self._asked.values():
            errand.drop()
        self._asked.clear()

    def close(self) -> None:
        """Let the thread end after what it is at."""
        self._errands.put(None)

    def _start(self, begin: Callable[[], Iterator[T]]) -> _Errand[T]:
        errand = _Errand(begin)
        self._errands.put(errand.run)
        return errand

    def _work(self) -> None:
        while (errand := self._errands.get()) is not None:
            errand()
