"""`gru4rec`: a gated recurrent network over a user's outcomes (Hidasi et al. 2016).

With cross-entropy over all candidates and tied weights (Hidasi and Karatzoglou 2018).
"""

from __future__ import annotations

from torch import Tensor, nn

from metarec_stream.evaluate.controls.refreshed import SequenceNetwork, rank_by_network
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream

_DIMENSIONS = 64
_DROPOUT = 0.2


def gru4rec(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """Rank by the recurrent network, refreshed as the stream flows."""
    return rank_by_network(RecurrentNetwork, stream, protocol, seed)


class RecurrentNetwork(SequenceNetwork):
    """One layer of gated recurrent units."""

    def __init__(self, items: int) -> None:
        super().__init__(items, _DIMENSIONS)
        self._units = nn.GRU(_DIMENSIONS, _DIMENSIONS, batch_first=True)
        self._dropout = nn.Dropout(_DROPOUT)

    def forward(self, inputs: Tensor) -> Tensor:
        """[W, L] to [W, L, d]."""
        states: Tensor = self._dropout(self._units(self._dropout(self.vectors(inputs)))[0])
        return states
