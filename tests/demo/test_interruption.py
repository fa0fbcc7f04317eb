"""Ctrl-C at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from metarec_stream.demo.interruption import Interruption

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    """One that is entered for the length of the test."""
    before = {number: signal.getsignal(number) for number in ENDING}
    with Interruption() as entered:
        yield entered
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt(number: signal.Signals = signal.SIGINT) -> None:
    """Send this process a signal; it is handled before this returns."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_raises_where_it_is_allowed(
    interruption: Interruption, number: signal.Signals
) -> None:
    """All that end a process from outside do the same."""
    with pytest.raises(KeyboardInterrupt), interruption.allowed():
        interrupt(number)


def test_cleaning_up_is_not_cut_short(interruption: Interruption) -> None:
    """The second and third Ctrl-C change nothing once the first was raised."""
    steps = []

    def run() -> None:
        try:
            with interruption.allowed():
                interrupt()
                steps.append("never")
        finally:
            interrupt()
            interrupt()
            steps.append("cleaned")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert steps == ["cleaned"]


def test_what_is_held_is_carried_out_whole(interruption: Interruption) -> None:
    """The signal of the middle raises at the end."""
    steps = []

    def run() -> None:
        with interruption.allowed():
            with interruption.held():
                interrupt()
                steps.append("whole")
            steps.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert steps == ["whole"]


def test_signals_raise_again_after_an_error_in_what_is_held(interruption: Interruption) -> None:
    """And the error is not replaced."""

    def fail() -> None:
        with interruption.held():
            raise ValueError("mine")

    def run() -> None:
        with interruption.allowed():
            with pytest.raises(ValueError, match="mine"):
                fail()
            interrupt()
            pytest.fail("the signal did not raise")

    with pytest.raises(KeyboardInterrupt):
        run()


def test_a_signal_from_before_raises_on_entering(interruption: Interruption) -> None:
    """One that comes before anything can be interrupted is not lost."""
    interrupt()
    with pytest.raises(KeyboardInterrupt), interruption.allowed():
        pytest.fail("entered")


def test_a_signal_that_a_library_swallowed_is_found_by_the_next_check(
    interruption: Interruption,
) -> None:
    """KeyboardInterrupt can be lost in a callback or a destructor."""
    swallowed = False

    def run() -> None:
        nonlocal swallowed
        with interruption.allowed():
            try:
                interrupt()
            except KeyboardInterrupt:
                swallowed = True
            interruption.check()

    with pytest.raises(KeyboardInterrupt):
        run()
    assert swallowed


def test_a_second_ctrl_c_does_not_disturb_the_end_of_the_process() -> None:
    """Neither a stack trace nor another status, once the cleaning up is done."""
    program = (
        "import os, signal\n"
        "from metarec_stream.demo.interruption import Interruption\n"
        "with Interruption():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_signals_are_as_before_if_none_came() -> None:
    """Nothing stays installed."""
    before = signal.getsignal(signal.SIGTERM)
    with Interruption():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
