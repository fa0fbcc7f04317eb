"""Calls that may wait for ever do not hold the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from metarec_stream.kafka.time_limit import TimeLimit


@pytest.fixture
def limit() -> Iterator[TimeLimit]:
    """A thread to make calls on."""
    limit = TimeLimit("test")
    yield limit
    limit.close()


def test_calls_are_made_in_turn_and_raise_what_they_raise(limit: TimeLimit) -> None:
    """A call's error reaches the caller, and the next call is made all the same."""
    made: list[int] = []
    limit.call(lambda: made.append(1), 5)
    with pytest.raises(ZeroDivisionError):
        limit.call(lambda: made.append(1 // 0), 5)
    limit.call(lambda: made.append(2), 5)
    assert made == [1, 2]


def test_a_call_that_does_not_return_is_given_up(limit: TimeLimit) -> None:
    """TimeoutError at the limit; later calls fail at once, for the thread is taken."""
    release = threading.Event()

    def hang() -> None:
        release.wait(30)

    with pytest.raises(TimeoutError):
        limit.call(hang, 0.05)
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="has not returned"):
        limit.call(lambda: None, 30)
    assert time.monotonic() - started < 5
    release.set()


def test_a_timeout_of_the_call_itself_does_not_take_the_thread(limit: TimeLimit) -> None:
    """Only a call that is still running does."""

    def fail() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        limit.call(fail, 5)
    limit.call(lambda: None, 5)
