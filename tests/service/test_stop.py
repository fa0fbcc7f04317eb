"""A signal ends the process at once while it starts, and between two batches afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from metarec_stream.service.stop import StopRequested, StopSignal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_unwinds_it(number: signal.Signals) -> None:
    """Raised where the main thread is; a second one does not interrupt the unwinding."""
    before = signal.getsignal(number)
    with StopSignal() as stop:
        with pytest.raises(StopRequested):
            signal.raise_signal(number)
        signal.raise_signal(number)
        assert stop.requested
    assert signal.getsignal(number) is before


def test_a_signal_while_serving_is_only_noted() -> None:
    """A batch is finished."""
    with StopSignal() as stop:
        stop.defer()
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested


def test_a_process_that_does_not_end_is_cut_short() -> None:
    """After its grace period, with status 1; one that ends in time is not."""
    script = """
import signal, sys, time
from metarec_stream.service.stop import StopSignal
with StopSignal(grace_s=0.2) as stop:
    stop.defer()
    signal.raise_signal(signal.SIGTERM)
    time.sleep(float(sys.argv[1]))
time.sleep(0.5)
"""
    ended = [
        subprocess.run([sys.executable, "-c", script, seconds], check=False, timeout=60).returncode
        for seconds in ("30", "0")
    ]
    assert ended == [1, 0]
