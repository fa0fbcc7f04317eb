"""A signal ends the process at once while it starts, and between two batches afterwards."""

from __future__ import annotations

import signal

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
    """A batch is finished; `check` is where a long replay ends."""
    with StopSignal() as stop:
        stop.defer()
        stop.check()
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
        with pytest.raises(StopRequested):
            stop.check()
