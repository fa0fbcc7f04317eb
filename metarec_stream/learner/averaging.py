"""The average of the slow weights over the latest outer steps.

Single steps follow the users that they happened to see. Where users stay as they are, the average
of many steps knows more than the last one (Polyak and Juditsky 1992); where they change it comes
late, so `learner.contenders` says which of both is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from metarec_stream.adapters.value_sum.parameters import TABLES, UNTRAINED
from metarec_stream.learner.tables import SlowWeights, with_room

_FORGETTING = 8.0
"""How much less the first steps count: after n, a mean in which the k-th counts about k^8, that is
one over the last ninth of them (polynomial-decay averaging, Shamir and Zhang 2013)."""
_SMALL = "small"

Arrays = Mapping[str, NDArray[Any]]


class WeightAverage:
    """Follows the candidate: each row of a table by the steps that used it, all else by every one.

    weights: equal to the candidate's, and moved in place. steps: `learn.average_steps`.
    """

    def __init__(self, weights: SlowWeights, steps: int, device: torch.device) -> None:
        self.weights = weights
        self._least = 1.0 / steps
        self._device = device
        self._uses: dict[str, Tensor] = {}
        self.begin_anew()

    def begin_anew(self) -> None:
        """The next step is as the first: the average becomes what the candidate is then."""
        self._uses = {_SMALL: torch.zeros(1, device=self._device)}

    @torch.no_grad()
    def follow(self, candidate: SlowWeights, rows: Mapping[str, Tensor]) -> None:
        """Take up a step of the candidate.

        rows: distinct ones that it used, by table; the others have not moved.
        """
        for name, used in rows.items():
            if name not in TABLES:
                self.weights.open_tokens(name, candidate.length(name) - 1)
            table = self.weights.tables[name]
            uses = with_room(self._uses.get(name, table.new_zeros(0)), len(table))
            self._uses[name] = uses
            weight = self._weight(uses, used).reshape(-1, *[1] * (table.ndim - 1))
            table[used] = torch.lerp(table[used], candidate.tables[name][used], weight)
        weight = self._weight(self._uses[_SMALL], torch.zeros(1, dtype=torch.long))
        for name, tensor in self.weights.small.items():
            newest = candidate.small[name].detach()
            # What is chosen from a few values has no mean: it is the candidate's.
            tensor.copy_(newest if name in UNTRAINED else torch.lerp(tensor, newest, weight))

    def tensors(self) -> dict[str, Tensor]:
        """How many steps each row has seen, as `uses/<table>`; that of all else, `uses/small`."""
        return {
            f"uses/{name}": uses if name == _SMALL else uses[: self.weights.length(name)]
            for name, uses in self._uses.items()
        }

    def restore(self, uses: Arrays) -> None:
        """Go on from what `tensors` gave, without `uses/`."""
        for name, array in uses.items():
            self._uses[name] = torch.tensor(array, device=self._device)

    def _weight(self, uses: Tensor, rows: Tensor) -> Tensor:
        """What a step counts in the mean, by row; it counts as seen from now on."""
        uses[rows] += 1
        return ((_FORGETTING + 1) / (uses[rows] + _FORGETTING)).clamp(min=self._least)
