"""`sasrec`: self-attention over a user's latest outcomes (Kang and McAuley 2018).

With cross-entropy over all candidates instead of one drawn negative, which is far stronger
(Klenitskiy and Vasilev 2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metarec_stream.evaluate.controls.refreshed import SequenceNetwork, rank_by_network
from metarec_stream.evaluate.controls.sequences import WINDOW
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream

_DIMENSIONS = 64
_DROPOUT = 0.2
_BLOCKS = 2
_HEADS = 1


def sasrec(stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """Rank by the attentive network, refreshed as the stream flows."""
    return rank_by_network(AttentiveNetwork, stream, protocol, seed)


class AttentiveNetwork(SequenceNetwork):
    """Blocks of causal self-attention over items and their places in the window."""

    def __init__(self, items: int) -> None:
        super().__init__(items, _DIMENSIONS)
        self._places = nn.Embedding(WINDOW, _DIMENSIONS)
        nn.init.normal_(self._places.weight, 0.0, 0.1 * _DIMENSIONS**-0.5)
        block = nn.TransformerEncoderLayer(
            _DIMENSIONS, _HEADS, _DIMENSIONS, _DROPOUT, batch_first=True, norm_first=True
        )
        self._blocks = nn.TransformerEncoder(
            block, _BLOCKS, nn.LayerNorm(_DIMENSIONS), enable_nested_tensor=False
        )
        self._dropout = nn.Dropout(_DROPOUT)

    def forward(self, inputs: Tensor) -> Tensor:
        """[W, L] to [W, L, d]."""
        places = inputs.shape[1]
        later = torch.ones(places, places, dtype=torch.bool).triu(1)
        read = self._dropout(self.vectors(inputs) + self._places.weight[:places])
        states: Tensor = self._blocks(read, mask=later)
        return states
