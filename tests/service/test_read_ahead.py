"""What is asked for is read on another thread: the one that asks never waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from metarec_stream.errors import Fatal
from metarec_stream.service.read_ahead import SLICES_AHEAD, ReadAhead
from tests.transport.backends import wait_until


@pytest.fixture
def ahead() -> Iterator[ReadAhead]:
    """Its thread ends with the test."""
    reader = ReadAhead("test")
    yield reader
    reader.close()


def test_an_answer_that_takes_long_is_not_waited_for(ahead: ReadAhead) -> None:
    """None until it is there; then it is handed out once, and the next asking asks anew."""
    allowed = threading.Event()
    threads = []

    def slow() -> int:
        allowed.wait(10)
        threads.append(threading.get_ident())
        return len(threads)

    assert ahead.answer("q", slow) is None
    assert ahead.answer("q", slow) is None
    allowed.set()
    for number in (1, 2):
        wait_until(lambda number=number: ahead.answer("q", slow) == number)  # type: ignore[misc]
    assert threading.get_ident() not in threads


def test_slices_come_in_order_and_no_more_are_read_than_fit(ahead: ReadAhead) -> None:
    """Some ahead of the one that is taken, and no more: memory is bounded."""
    read: list[int] = []

    def slices() -> Iterator[int]:
        for number in range(50):
            read.append(number)
            yield number

    stream = ahead.slices(slices)
    assert next(stream) in (None, 0)
    wait_until(lambda: len(read) > SLICES_AHEAD)
    # Another question is not begun before this one is read to its end.
    assert ahead.answer("q", lambda: 1) is None
    assert len(read) <= SLICES_AHEAD + 2
    assert [each for each in stream if each is not None][-1] == 49
    assert read == list(range(50))


def test_what_reading_raises_is_raised_where_it_is_taken(ahead: ReadAhead) -> None:
    """After what was read before; the thread goes on with other questions."""

    def slices() -> Iterator[int]:
        yield 1
        raise Fatal("cannot be read")

    def ask() -> int:
        raise Fatal("no answer")

    found: list[int] = []
    with pytest.raises(Fatal, match="cannot be read"):
        found.extend(each for each in ahead.slices(slices) if each is not None)
    assert found == [1]
    with pytest.raises(Fatal, match="no answer"):
        wait_until(lambda: ahead.answer("q", ask) is not None)
    wait_until(lambda: ahead.answer("q", lambda: 7) == 7)


def test_what_is_forgotten_is_not_read_on(ahead: ReadAhead) -> None:
    """The thread ends what it was reading, and an old answer is gone."""
    read: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            read.append(len(read))
            yield read[-1]

    stream = ahead.slices(endless)
    wait_until(lambda: next(stream) is not None)
    assert ahead.answer("q", lambda: "old") is None
    stream.close()
    given_back = threading.Event()
    ahead.forget()
    ahead.do(given_back.set)
    assert given_back.wait(10)
    before = len(read)
    wait_until(lambda: ahead.answer("q", lambda: "new") == "new")
    assert len(read) == before
