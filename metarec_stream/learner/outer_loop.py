"""The outer loop: steps of the slow weights down the gradient of logged tasks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarec_stream.adapters.value_sum.outer import Tasks, losses, outer_loss
from metarec_stream.errors import Fatal
from metarec_stream.learner.events import TaskEvents
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.learner.tables import RowsInUse, SlowWeights, on_device, with_room

_ADAM_DECAYS = (0.9, 0.99)
_ADAGRAD_EPSILON = 1e-7
_TIME_SCALE_RATE = 5.0
"""The time scales are logarithms of seconds and have further to go than the other weights."""


def prepare_device(settings: LearnSettings) -> torch.device:
    """The device the outer loop runs on; Fatal if the one asked for is not there.

    Also holds torch, in the whole process, to the number of threads that is set.
    """
    torch.set_num_threads(settings.threads)
    available = torch.cuda.is_available()
    if settings.device == "cuda" and not available:
        raise Fatal(
            "learn.device is cuda and this machine has no usable GPU: "
            "set METAREC_LEARN__DEVICE=auto or cpu"
        )
    return torch.device("cuda" if available and settings.device != "cpu" else "cpu")


class RowAdagrad:
    """Adagrad (Duchi et al. 2011) on the rows of the tables that a step used, no others."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._squares: dict[str, Tensor] = {}

    @torch.no_grad()
    def step(self, name: str, table: Tensor, rows: Tensor, gradient: Tensor) -> None:
        """Move distinct rows of a table."""
        squares = with_room(self._squares.get(name, table[:0].clone()), table.shape[0])
        self._squares[name] = squares
        total = squares[rows].addcmul_(gradient, gradient)
        squares[rows] = total
        table.index_add_(0, rows, gradient / (total.sqrt() + _ADAGRAD_EPSILON), alpha=-self._rate)


class OuterLoop:
    """Scores events under any slow weights, and moves the candidate's.

    The tables move by row-lazy Adagrad, the small parameters by Adam.
    """

    def __init__(self, settings: LearnSettings, candidate: SlowWeights) -> None:
        self._settings = settings
        self._candidate = candidate
        self._device = candidate.small["start"].device
        self._rows = RowsInUse()
        self._adagrad = RowAdagrad(settings.table_rate)
        self.restart()

    def restart(self) -> None:
        """Take the candidate's present small parameters as the parent's, and forget Adam's past."""
        small = self._candidate.small
        self._parent = {name: tensor.detach().clone() for name, tensor in small.items()}
        rates = {
            "theta": self._settings.features_rate,
            "log_time_scale": self._settings.weights_rate * _TIME_SCALE_RATE,
        }
        groups = [
            {
                "params": [tensor.requires_grad_()],
                "lr": rates.get(name, self._settings.weights_rate),
            }
            for name, tensor in small.items()
        ]
        self._adam = torch.optim.Adam(groups, betas=_ADAM_DECAYS)

    def adopt_parent(self) -> None:
        """The candidate has become the live version: from now on it is the parent."""
        for name, tensor in self._candidate.small.items():
            self._parent[name].copy_(tensor.detach())

    @torch.no_grad()
    def score(self, weights: SlowWeights, events: TaskEvents) -> NDArray[np.float32]:
        """The loss of each event, nothing learned."""
        tasks, rows = self._prepare(weights, events)
        return losses(weights.gather(rows), tasks).cpu().numpy()

    def step(self, events: TaskEvents) -> NDArray[np.float32] | None:
        """Move the candidate one step; the loss of each event before it.

        None if loss or gradient is not finite: then nothing has moved.
        """
        tasks, rows = self._prepare(self._candidate, events)
        parameters = self._candidate.gather(rows)
        used = {name: parameters[name].requires_grad_() for name in rows}
        each = losses(parameters, tasks)
        objective = outer_loss(each, tasks.weights) + self._penalty(parameters)
        gradients = torch.autograd.grad(objective, list(parameters.values()))
        by_name = dict(zip(parameters, gradients, strict=True))
        if not self._finite(objective, gradients):
            return None
        for name in used:
            self._adagrad.step(name, self._candidate.tables[name], rows[name], by_name[name])
        self._step_small(by_name)
        return each.detach().cpu().numpy()

    def _prepare(self, weights: SlowWeights, events: TaskEvents) -> tuple[Tasks, dict[str, Tensor]]:
        value_rows, window = self._rows.distinct(events.window, weights.rows)
        item_rows, candidates = self._rows.distinct(events.candidates, weights.rows)
        device = self._device
        tasks = Tasks(
            candidates=on_device(candidates, device).long(),
            log_q=on_device(events.log_q, device),
            features=on_device(events.features, device).float(),
            window=on_device(window, device).long(),
            gaps=on_device(events.gaps, device),
            situation=on_device(events.situation, device),
            weights=on_device(events.weights, device),
        )
        items = on_device(item_rows, device).long()
        values = on_device(value_rows, device).long()
        return tasks, {"value": values, "embedding": items, "bias": items}

    def _penalty(self, parameters: dict[str, Tensor]) -> Tensor:
        penalty = torch.zeros((), device=self._device)
        if self._settings.l2:
            squares = torch.stack([tensor.square().sum() for tensor in parameters.values()])
            penalty = penalty + self._settings.l2 * squares.sum()
        if self._settings.proximal:
            moved = [
                (self._candidate.small[name] - old).square().sum()
                for name, old in self._parent.items()
            ]
            penalty = penalty + self._settings.proximal * torch.stack(moved).sum()
        return penalty

    @staticmethod
    def _finite(objective: Tensor, gradients: tuple[Tensor, ...]) -> bool:
        return bool(torch.isfinite(torch.stack([objective, *(g.sum() for g in gradients)])).all())

    def _step_small(self, gradients: dict[str, Tensor]) -> None:
        small = self._candidate.small
        for name, tensor in small.items():
            tensor.grad = gradients[name]
        torch.nn.utils.clip_grad_norm_(list(small.values()), self._settings.clip)
        self._adam.step()
