"""What a control is: a model that ranks each event of a stream before it learns it."""

from __future__ import annotations

from typing import Protocol as Interface

from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream


class Control(Interface):
    """A function from a stream to what was ranked: at least the rows that the protocol scores.

    What a control may choose (a half-life, a window) it chooses on the rows before the scored
    ones, under the same protocol. `seed` is of all that it draws.
    """

    def __call__(self, stream: Stream, protocol: Protocol, seed: int) -> RankedEvents: ...
