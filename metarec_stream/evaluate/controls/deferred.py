"""Controls whose packages are an extra: imported when they first run, not when they are listed."""

from __future__ import annotations

from importlib import import_module

from metarec_stream.evaluate.controls.control import Control
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream


def deferred(name: str) -> Control:
    """The control of this name in the module of this name beside here.

    Running it raises ModuleNotFoundError where a package that it needs is not installed.
    """

    def run(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
        control: Control = getattr(import_module(f"{__package__}.{name}"), name)
        return control(stream, protocol, seed)

    # What depends on a control's code finds it by its module.
    run.__module__ = f"{__package__}.{name}"
    return run
