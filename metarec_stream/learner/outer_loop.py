"""The outer loop: steps of the slow weights down the gradient of logged tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarec_stream.adapters.value_sum.outer import (
    LOG_TEMPERATURES,
    SHARES,
    item_tables,
    losses_by_share,
    losses_by_temperature,
    outer_loss,
    scores,
    served_losses,
    training_losses,
    with_tokens,
)
from metarec_stream.adapters.value_sum.parameters import CONTENT, NETWORK, PROFILE, UNTRAINED
from metarec_stream.adapters.value_sum.prefixes import prefix_loss
from metarec_stream.catalogue.content import TokenRows
from metarec_stream.learner.events import TaskEvents
from metarec_stream.learner.inputs import Inputs, PrefixChoice, StepInputs
from metarec_stream.learner.processes import Processes
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.learner.tables import SlowWeights, on_device, with_room

_ADAM_DECAYS = (0.9, 0.99)
_ADAM_EPSILON = 1e-6
"""Well above rounding: a parameter that the loss does not depend on must not follow its noise."""
_ADAGRAD_EPSILON = 1e-7
_STEP_DECAY_RATE, _TIME_SCALE_RATE = 15.0, 5.0
"""Decays are logits, and time scales logarithms of seconds: both have further to go than the other
weights, and after a change of taste they are what has to move first."""
_MIXING_RATE = 0.1
"""Mixing is d x d weights a sum and begins where it is nearly right: in larger steps it follows
the noise of single blocks."""
_PRIOR_RATE = 6.0
"""A prior has as far to go as the logarithm of an item's count; until it is there, value vectors
learn popularity instead of taste."""
_CHOICE_HALF_LIFE = 8_192.0
"""Events after which what they told of a parameter chosen from a few values counts half."""

Arrays = Mapping[str, NDArray[Any]]
OnStep = Callable[[SlowWeights, Mapping[str, Tensor]], None]
"""Is told of the candidate when it has moved, and of the rows of its tables that a step used."""


class Judged(NamedTuple):
    """Losses [n] of events that nothing has learned from yet."""

    anchor: NDArray[np.float32]
    average: NDArray[np.float32]


class RowAdagrad:
    """Adagrad (Duchi et al. 2011) on the rows of the tables that a step used, no others."""

    def __init__(self, rate: float, rates: Mapping[str, float]) -> None:
        """`rates` by table where it is not `rate`."""
        self._rate = rate
        self._rates = rates
        self.squares: dict[str, Tensor] = {}
        """By table: the sum of squared gradients of each row that was ever used, zeros after."""

    @torch.no_grad()
    def step(self, name: str, table: Tensor, rows: Tensor, gradient: Tensor) -> None:
        """Move distinct rows of a table."""
        squares = with_room(self.squares.get(name, table[:0].clone()), table.shape[0])
        self.squares[name] = squares
        total = squares[rows].addcmul_(gradient, gradient)
        squares[rows] = total
        rate = self._rates.get(name, self._rate)
        table.index_add_(0, rows, gradient / (total.sqrt() + _ADAGRAD_EPSILON), alpha=-rate)


class OuterLoop:
    """Scores events under any slow weights, and moves the candidate's.

    The tables move by row-lazy Adagrad, the small parameters by Adam. Of several processes each
    takes its share of a block that all know; they move by the same sum of gradients, so that their
    candidates stay the same to the last bit.
    """

    def __init__(
        self,
        settings: LearnSettings,
        candidate: SlowWeights,
        processes: Processes,
        content: TokenRows,
        on_step: OnStep,
    ) -> None:
        self._settings = settings
        self._candidate = candidate
        self._on_step = on_step
        self._processes = processes
        self._inputs = StepInputs(settings, processes, content)
        alone = dict.fromkeys(("value", CONTENT["value"]), settings.value_rate)
        alone["prior"] = settings.value_rate * _PRIOR_RATE
        self._adagrad = RowAdagrad(settings.table_rate, alone)
        self._told = {
            "rerank_share": torch.zeros(len(SHARES), device=processes.device),
            "temperature": torch.zeros(len(LOG_TEMPERATURES), device=processes.device),
        }
        """By parameter that is chosen: the loss with each value, of the events judged so far."""
        self.restart()

    def restart(self) -> None:
        """Take the candidate's present small parameters as the parent's, and forget Adam's past."""
        trained = self._trained()
        self._parent = {name: tensor.detach().clone() for name, tensor in trained.items()}
        rates = {
            **dict.fromkeys(("taste", "theta", "agreement"), self._settings.features_rate),
            "mixing": self._settings.weights_rate * _MIXING_RATE,
            "step_decay": self._settings.weights_rate * _STEP_DECAY_RATE,
            "log_time_scale": self._settings.weights_rate * _TIME_SCALE_RATE,
            "feature_step": self._settings.feature_step_rate,
            "feature_keep": self._settings.feature_step_rate,
            **dict.fromkeys(NETWORK, self._settings.rerank_rate),
        }
        groups = [
            {
                "params": [tensor.requires_grad_()],
                "lr": rates.get(name, self._settings.weights_rate),
            }
            for name, tensor in trained.items()
        ]
        self._adam = torch.optim.Adam(groups, betas=_ADAM_DECAYS, eps=_ADAM_EPSILON)

    def adopt_parent(self, live: SlowWeights) -> None:
        """What has become the live version is the parent from now on."""
        for name, parent in self._parent.items():
            parent.copy_(live.small[name].detach())

    def tensors(self) -> dict[str, Tensor]:
        """What it remembers of past steps: `parent/…`, `adagrad/…`, `adam/<parameter>/…`."""
        squares, length = self._adagrad.squares, self._candidate.length
        adam = {
            f"adam/{name}/{part}": kept
            for name, tensor in self._trained().items()
            for part, kept in self._adam.state[tensor].items()
        }
        return {
            **{f"told/{name}": losses for name, losses in self._told.items()},
            **{f"parent/{name}": tensor for name, tensor in self._parent.items()},
            **{f"adagrad/{name}": tensor[: length(name)] for name, tensor in squares.items()},
            **adam,
        }

    def restore(self, arrays: Arrays) -> None:
        """Go on from what another one remembered, of the same candidate."""
        device = self._processes.device
        for name, losses in self._told.items():
            if f"told/{name}" in arrays:
                losses.copy_(torch.tensor(arrays[f"told/{name}"]))
        for name, tensor in self._trained().items():
            if f"parent/{name}" in arrays:
                self._parent[name].copy_(torch.tensor(arrays[f"parent/{name}"]))
            for part in ("step", "exp_avg", "exp_avg_sq"):
                if f"adam/{name}/{part}" in arrays:
                    kept = torch.tensor(arrays[f"adam/{name}/{part}"])
                    # Adam counts steps on the CPU, wherever the parameters are.
                    self._adam.state[tensor][part] = kept if part == "step" else kept.to(device)
        for name in self._candidate.tables:
            if f"adagrad/{name}" in arrays:
                self._adagrad.squares[name] = torch.tensor(arrays[f"adagrad/{name}"], device=device)

    @torch.no_grad()
    def judge(self, anchor: SlowWeights, average: SlowWeights, events: TaskEvents) -> Judged:
        """Both losses of each event; from the anchor's, nothing is learned but two settings.

        They are the share of the re-ranker that the candidate serves, and the temperature of its
        probabilities: the best ones on the events judged so far, the newest counting most. The
        temperature is of the next event whatever its type, so events count alike there.
        """
        inputs = self._inputs.of((anchor, average), events)
        with self._processes.matrix_products():
            found, other = (
                scores(weights.gather(inputs.rows), inputs.tasks) for weights in (anchor, average)
            )
        chosen = self._candidate.small["rerank_share"]
        tempered = losses_by_temperature(found, inputs.tasks.log_q, chosen)
        averaged = served_losses(other, average.small["rerank_share"])
        told = (losses_by_share(found), tempered, averaged)
        each, by_temperature, of_average = self._processes.summed(
            [_spread(mine, inputs.share, len(events)) for mine in told]
        )
        weights = on_device(events.weights, each.device)
        self._choose("rerank_share", SHARES, each @ weights, len(events))
        self._choose("temperature", LOG_TEMPERATURES, by_temperature.sum(1), len(events))
        served = int((anchor.small["rerank_share"] * (len(SHARES) - 1)).round())
        return Judged(each[served].cpu().numpy(), of_average.cpu().numpy())

    def _choose(self, name: str, values: tuple[float, ...], told: Tensor, events: int) -> None:
        """Give the candidate the value of least loss; `told` is that of these events with each."""
        if not _finite([told]):
            return
        losses = self._told[name]
        losses.mul_(0.5 ** (events / _CHOICE_HALF_LIFE)).add_(told)
        self._candidate.small[name].fill_(values[int(losses.argmin())])

    def step(
        self, events: TaskEvents, choice: PrefixChoice | None = None
    ) -> NDArray[np.float32] | None:
        """Move the candidate one step; the loss of each event before it.

        choice: `learn.prefix_events` of all events if none is given. None if loss or gradient is
        not finite: then nothing has moved.
        """
        choice = choice or PrefixChoice(self._settings.prefix_events, len(events))
        inputs = self._inputs.of((self._candidate,), events)
        rows = inputs.rows
        parameters = self._candidate.gather(rows)
        for name in rows:
            parameters[name].requires_grad_()
        with self._processes.matrix_products():
            minimised, mine = training_losses(parameters, inputs.tasks)
            taste = self._taste_loss(parameters, inputs, choice)
        weight = on_device(events.weights, mine.device).sum()
        penalty = self._penalty(parameters) / self._processes.place.size
        objective = outer_loss(minimised, inputs.tasks.weights, weight) + taste + penalty
        # A share without events uses no parameter: its gradient is zero, not missing.
        moving = [*self._trained(), *rows]
        gradients = torch.autograd.grad(
            objective,
            [parameters[name] for name in moving],
            allow_unused=True,
            materialize_grads=True,
        )
        spread = _spread(mine, inputs.share, len(events))
        each, *summed = self._processes.summed([spread, objective.detach(), *gradients])
        if not _finite(summed):
            return None
        self._move(rows, dict(zip(moving, summed[1:], strict=True)))
        return each.cpu().numpy()

    def _taste_loss(
        self, parameters: dict[str, Tensor], inputs: Inputs, choice: PrefixChoice
    ) -> Tensor:
        """The mean loss of the predictions from prefixes, or this process's part of it."""
        prefixes, weight = self._inputs.prefixes(inputs, len(parameters["start"]), choice)
        served = item_tables(parameters, inputs.tasks)
        start = with_tokens(parameters["start"], parameters.get(PROFILE), prefixes.profile_tokens)
        return prefix_loss(served, prefixes, start) / max(weight, 1.0)

    def _penalty(self, parameters: dict[str, Tensor]) -> Tensor:
        penalty = torch.zeros((), device=self._processes.device)
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

    def _move(self, rows: dict[str, Tensor], gradients: dict[str, Tensor]) -> None:
        for name, used in rows.items():
            self._adagrad.step(name, self._candidate.tables[name], used, gradients[name])
        trained = self._trained()
        for name, tensor in trained.items():
            tensor.grad = gradients[name]
        torch.nn.utils.clip_grad_norm_(list(trained.values()), self._settings.clip)
        self._adam.step()
        self._on_step(self._candidate, rows)

    def _trained(self) -> dict[str, Tensor]:
        """The small parameters that a gradient moves."""
        small = self._candidate.small
        return {name: tensor for name, tensor in small.items() if name not in UNTRAINED}


def _spread(mine: Tensor, share: slice, count: int) -> Tensor:
    """The losses of a share among zeros for all other events: summed over processes, all losses.

    mine: [..., events of the share].
    """
    every = mine.new_zeros((*mine.shape[:-1], count))
    every[..., share] = mine
    return every


def _finite(tensors: list[Tensor]) -> bool:
    return bool(torch.isfinite(torch.stack([tensor.sum() for tensor in tensors])).all())
