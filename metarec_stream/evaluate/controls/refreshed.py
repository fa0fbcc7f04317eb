"""Neural controls along a stream: trained in epochs on its past, then refreshed block by block.

The schedule is that of incremental training in the literature (Mi et al. 2020, ADER; Zhang et al.
2020, SML): epochs in random order over all that came before, then one walk in the order of time,
where each block of rows is ranked before the network takes a few steps on it. The softmax is over
all candidates: none is sampled.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metarec_stream.compiled import compiled
from metarec_stream.evaluate.controls.choice import rank_chosen, rows_just_before
from metarec_stream.evaluate.controls.ranking import (
    Ranking,
    appear,
    is_ranked,
    rank_event,
    ranked_events,
    start_ranking,
)
from metarec_stream.evaluate.controls.sequences import (
    Batch,
    batches,
    histories_of,
    owned_before,
)
from metarec_stream.evaluate.metrics import RankedEvents, ranks
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream

EPOCHS = (0, 4, 12)
"""Over the past, before the walk; the number is chosen before the scored part."""
REFRESH_ROWS = 500
"""Rows of the stream between two refreshes."""
REFRESH_PASSES = 2
"""Over the newest block."""
_BATCH = 512
"""Predictions of a step in an epoch."""
_REFRESH_BATCH = 128
"""Predictions of a step in a refresh."""
_RATE = 3e-3
_LONGEST_GRADIENT = 5.0
"""Norm of the gradient of a step, above which it is scaled down."""


class SequenceNetwork(nn.Module):
    """What the networks share: vectors of the items, read at the input and scored at the output.

    inputs [W, L] → states [W, L, d]; a state's score of an item is its product with the item's
    vector, plus the item's bias (tied weights: Hidasi and Karatzoglou 2018, Kang and McAuley 2018).
    """

    def __init__(self, items: int, dimensions: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(items + 1, dimensions)
        nn.init.normal_(self.vectors.weight, 0.0, dimensions**-0.5)
        self.bias = nn.Parameter(torch.zeros(items))

    def states_of(self, batch: Batch) -> Tensor:
        """[m, d] at the places from which the batch's rows are predicted."""
        states: Tensor = self(torch.from_numpy(batch.inputs))
        return states[torch.from_numpy(batch.window), torch.from_numpy(batch.column)]

    def scores(self, states: Tensor, known: int) -> Tensor:
        """[m, known] of the first items."""
        return states @ self.vectors.weight[:known].T + self.bias[:known]


Build = Callable[[int], SequenceNetwork]
"""A network for a number of items, drawn from torch's generator."""


def rank_by_network(build: Build, stream: Stream, protocol: Protocol, seed: int) -> RankedEvents:
    """The scored part by a network; its number of epochs is the best before that part."""
    with _repeatable(seed):
        return rank_chosen(
            stream,
            protocol,
            seed,
            EPOCHS[0],
            partial(best_epochs, build),
            partial(rank_after, build),
        )


def best_epochs(build: Build, stream: Stream, protocol: Protocol, seed: int) -> int:
    """The epochs of largest MRR on the rows just before the scored ones.

    One network is trained on the rows before these; where more epochs are no better, it stops.
    """
    part = rows_just_before(stream, protocol)
    best, best_mrr = EPOCHS[0], 0.0
    if part.start == part.stop:
        return best
    trained = Refreshed(build, stream, protocol, seed)
    for epochs in EPOCHS:
        trained.study(part.start, epochs)
        place = ranks(copy.copy(trained).walk(part, 0), protocol.ties)
        mrr = float(np.mean(1 / place)) if len(place) else 0.0
        if mrr <= best_mrr:
            break
        best, best_mrr = epochs, mrr
    return best


def rank_after(
    build: Build,
    stream: Stream,
    protocol: Protocol,
    epochs: int,
    seed: int,
    part: slice,
    list_length: int = 0,
) -> RankedEvents:
    """Train on what is before the part, then rank the outcomes in it."""
    trained = Refreshed(build, stream, protocol, seed)
    trained.study(part.start, epochs)
    return trained.walk(part, list_length)


class Refreshed:
    """A network that learns a stream."""

    def __init__(self, build: Build, stream: Stream, protocol: Protocol, seed: int) -> None:
        self._stream, self._protocol, self._seed = stream, protocol, seed
        self._histories = histories_of(stream)
        self._newest = np.maximum.accumulate(np.where(stream.applied, stream.items, -1))
        self._order = np.random.default_rng(seed)
        self._epochs = 0
        self._network = build(len(stream.item_ids))
        self._optimizer = torch.optim.Adam(self._network.parameters(), _RATE)

    def __copy__(self) -> Refreshed:
        """The same with a network of its own, so that learning goes on apart from here."""
        other: Refreshed = object.__new__(Refreshed)
        other.__dict__ = self.__dict__.copy()
        own = copy.deepcopy((self._network, self._optimizer, self._order))
        other._network, other._optimizer, other._order = own
        return other

    def study(self, stop: int, epochs: int) -> None:
        """Bring the epochs over the rows before `stop` up to this number."""
        rows = self._learned(0, stop)
        for _ in range(self._epochs, epochs):
            self._learn(rows, self._known(stop), _BATCH)
        self._epochs = epochs

    def walk(self, part: slice, list_length: int) -> RankedEvents:
        """Go through the stream up to the part's end: rank what is in the part, then learn it."""
        ranking = start_ranking(self._stream, self._protocol, self._seed, part, list_length)
        # Once even without rows: then all is compiled, which is no part of the time taken.
        for start in range(0, max(part.stop, 1), REFRESH_ROWS):
            stop = min(start + REFRESH_ROWS, part.stop)
            self._rank(ranking, start, stop)
            if stop < part.stop:
                rows = self._learned(start, stop)
                for _ in range(REFRESH_PASSES):
                    self._learn(rows, self._known(stop), _REFRESH_BATCH)
        return ranked_events(ranking)

    def _learned(self, start: int, stop: int) -> NDArray[np.int64]:
        """The outcomes of these rows that the protocol could ask for."""
        wanted = self._stream.outcome[start:stop].copy()
        if self._protocol.repeats == "mask":
            wanted &= ~self._stream.repeat[start:stop]
        rows: NDArray[np.int64] = np.flatnonzero(wanted) + start
        return rows

    def _known(self, stop: int) -> int:
        """Items that are candidates once the rows before `stop` have happened."""
        if self._protocol.candidates == "all":
            return len(self._stream.item_ids)
        return int(self._newest[stop - 1]) + 1 if stop else 0

    def _learn(self, rows: NDArray[np.int64], known: int, size: int) -> None:
        """One pass over the rows: cross-entropy among the items that the protocol lets compete."""
        self._network.train()
        for batch in batches(self._histories, rows, size, self._order):
            scores = self._network.scores(self._network.states_of(batch), known)
            if self._protocol.repeats == "mask":
                owned = owned_before(self._stream, batch.rows, known)
                scores = scores.masked_fill(torch.from_numpy(owned), -torch.inf)
            targets = torch.from_numpy(self._stream.items[batch.rows].astype(np.int64))
            self._optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(scores, targets))
            nn.utils.clip_grad_norm_(self._network.parameters(), _LONGEST_GRADIENT)
            self._optimizer.step()

    @torch.no_grad()
    def _rank(self, ranking: Ranking, start: int, stop: int) -> None:
        """Rank what is asked for in these rows by the network as it is."""
        first, last = np.searchsorted(ranking.rows, (start, stop))
        scores = np.zeros((last - first, self._known(stop)), np.float32)
        self._network.eval()
        for batch in batches(self._histories, ranking.rows[first:last], _BATCH):
            states = self._network.states_of(batch)
            at = np.searchsorted(ranking.rows[first:last], batch.rows)
            scores[at] = self._network.scores(states, scores.shape[1]).numpy()
        _rank_rows(ranking, start, stop, first, scores)


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """One thread of torch, drawing by the seed; as before afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


@compiled
def _rank_rows(
    ranking: Ranking, start: int, stop: int, first: int, scores: NDArray[np.float32]
) -> None:
    """`scores` [m, items] of the asked rows from number `first` on."""
    for row in range(start, stop):
        if is_ranked(ranking, row):
            ranking.scores[: scores.shape[1]] = scores[ranking.at[0] - first]
            rank_event(ranking, row)
        appear(ranking, row)
