"""What there is to be reached on MovieLens 1M's held-out users, by models that no stream binds.

The protocol `held-out-ml1m` after 1 to 4 events, by who may look at all training users as often as
they like, in any order, and know at the end which of their variants was best on the scored events:

- `value sums`: one sum over a user's films without decay, trained in shuffled windows of shuffled
  histories, epoch after epoch, against the whole catalogue; the best epoch;
- `neighbours`: what the most similar of all training users had, whole histories compared
  (`sessionknn` without its bounds); the best number of neighbours;
- `both`: the best of a few weighted geometric means.

Run: `python -m benchmarks.held_out_ceiling --data-dir DIR --seeds 3`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from metarec_stream.commands.progress import event_bar
from metarec_stream.evaluate.protocols.public_data import held_out_ml1m

PLACES = 10
LATEST = 4
"""Earlier events, at most."""
DIMENSIONS, WINDOW, BATCH = 64, 48, 32
RATE, DROPOUT = 5e-3, 0.35
NEIGHBOURS = (100, 200, 500)
BLENDS = (0.3, 1.0, 2.0)
"""What the logarithm of the neighbours' share counts beside the value sums' log-probability."""
LEAST_SHARE = 3e-3

Scores = NDArray[np.float32]
"""[held-out users, LATEST, items]: after 1, 2, 3, 4 events."""


@dataclass(frozen=True, slots=True)
class Users:
    """Their films in order, as numbers below `items`."""

    trained: list[NDArray[np.int64]]
    held_out: NDArray[np.int64]
    """[users, LATEST + 1] the first ones."""
    items: int


def users_of(data_dir: Path, seed: int) -> Users:
    """Those of the protocol."""
    trial = held_out_ml1m(data_dir, seed)
    names, item = np.unique(np.array(trial.table.item), return_inverse=True)
    user = np.unique(np.array(trial.table.user), return_inverse=True)[1]
    first_held_out = round(trial.protocol.score_from * len(user))
    order = np.argsort(user, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(user[order])) + 1)
    trained = [item[rows] for rows in parts if rows[0] < first_held_out]
    held_out = [item[rows[: LATEST + 1]] for rows in parts if rows[0] >= first_held_out]
    return Users(trained, np.stack(held_out), len(names))


class ValueSums(torch.nn.Module):
    """The chance of each item to be next is softmax(V LayerNorm(q + mean-like sum of V) + p)."""

    def __init__(self, users: Users, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)
        counts = np.bincount(np.concatenate(users.trained), minlength=users.items)
        drawn = torch.randn(users.items, DIMENSIONS, generator=self._generator)
        self.value = torch.nn.Parameter(drawn * 0.5 / DIMENSIONS**0.5)
        self.prior = torch.nn.Parameter(torch.log1p(torch.tensor(counts, dtype=torch.float32)))
        self.start = torch.nn.Parameter(torch.zeros(DIMENSIONS))
        self.mixing = torch.nn.Parameter(torch.eye(DIMENSIONS))
        self.gain = torch.nn.Parameter(torch.ones(DIMENSIONS))

    def forward(self, items: Tensor, there: Tensor) -> Tensor:
        """The logits [n, L, items] of what comes at each place, from the items before it.

        items: int64 [n, L]; there: [n, L] 1 where there is one, 0 for padding at the end.
        """
        values = self._dropped(self.value[items] * there[..., None])
        before = torch.cumsum(values, 1) - values
        count = torch.cumsum(there, 1) - there
        query = self.start + (before * torch.rsqrt(1 + count)[..., None]) @ self.mixing
        query = self._dropped(functional.layer_norm(query, (DIMENSIONS,), self.gain))
        return query @ self.value.T + self.prior

    def _dropped(self, values: Tensor) -> Tensor:
        if not self.training:
            return values
        kept = torch.rand(values.shape, generator=self._generator) >= DROPOUT
        return values * kept / (1 - DROPOUT)


def epochs(users: Users, count: int, seed: int) -> Iterator[Scores]:
    """The log-probabilities of value sums after each epoch of Adam, its steps ever smaller."""
    model, random = ValueSums(users, seed), np.random.default_rng(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    windows = sum(-(-len(films) // WINDOW) for films in users.trained)
    steps = count * -(-windows // BATCH)
    cooling = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda at: min(1, 1.5 * (1 - at / steps))
    )
    with event_bar() as bar:
        shown = bar.add_task(f"value sums, seed {seed}", total=count * windows)
        for _ in range(count):
            model.train()
            for batch in _batches(users.trained, random):
                items, there = _padded(batch)
                asked = there > 0
                loss = functional.cross_entropy(model(items, there)[asked], items[asked])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                cooling.step()
                bar.advance(shown, len(batch))
            yield _log_chances(model.eval(), users)


def _batches(
    trained: list[NDArray[np.int64]], random: np.random.Generator
) -> Iterator[list[NDArray[np.int64]]]:
    """Windows of all histories, both shuffled."""
    shuffled = [random.permutation(films) for films in trained]
    windows = [
        films[start : start + WINDOW]
        for films in shuffled
        for start in range(0, len(films), WINDOW)
    ]
    order = random.permutation(len(windows))
    for start in range(0, len(order), BATCH):
        yield [windows[number] for number in order[start : start + BATCH]]


def _padded(batch: list[NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, batch))
    items = np.stack([np.pad(films, (0, longest - len(films))) for films in batch])
    there = np.stack([np.arange(longest) < len(films) for films in batch])
    return torch.from_numpy(items), torch.from_numpy(there).float()


@torch.no_grad()
def _log_chances(model: ValueSums, users: Users) -> Scores:
    parts = torch.split(torch.from_numpy(users.held_out), 64)
    found = [
        torch.log_softmax(model(items, torch.ones(items.shape)), -1)[:, 1:].numpy()
        for items in parts
    ]
    return np.concatenate(found)


def neighbours_shares(users: Users) -> dict[int, Scores]:
    """The share of the most similar users' similarity that those with an item have.

    By how many of them count, for each of NEIGHBOURS.

    Similarity: films in common, by the square root of how many the training user has.
    """
    has = np.zeros((len(users.trained), users.items), np.float32)
    for number, films in enumerate(users.trained):
        has[number, films] = 1.0
    closeness = 1.0 / np.sqrt(has.sum(1))
    shape = (len(users.held_out), LATEST, users.items)
    shares = {count: np.zeros(shape, np.float32) for count in NEIGHBOURS}
    for number, films in enumerate(users.held_out):
        common = np.cumsum(has[:, films[:LATEST]], axis=1)
        for events in range(LATEST):
            similarity = common[:, events] * closeness
            for count, share in shares.items():
                nearest = np.argpartition(-similarity, count)[:count]
                weights = similarity[nearest]
                if weights.any():
                    share[number, events] = weights @ has[nearest] / weights.sum()
    return shares


def hit_rate(scores: Scores, users: Users) -> float:
    """HR@10 after 1 to 4 events, what the user has had left out; ties do not count against it."""
    rivals = scores.copy()
    hits = np.zeros((len(users.held_out), LATEST), np.bool_)
    for events in range(1, LATEST + 1):
        at = rivals[:, events - 1]
        wanted = np.take_along_axis(at, users.held_out[:, events : events + 1], axis=1)
        np.put_along_axis(at, users.held_out[:, :events], -np.inf, axis=1)
        hits[:, events - 1] = (at > wanted).sum(1) < PLACES
    return float(hits.mean())


def ceilings(data_dir: Path, seed: int, count: int) -> dict[str, float]:
    """The best rate of each kind, for one draw of the held-out users."""
    users = users_of(data_dir, seed)
    shares = neighbours_shares(users)
    best = dict.fromkeys(("value sums", "neighbours", "both"), 0.0)
    for share in shares.values():
        best["neighbours"] = max(best["neighbours"], hit_rate(share, users))
    for log_chances in epochs(users, count, seed):
        best["value sums"] = max(best["value sums"], hit_rate(log_chances, users))
        for share in shares.values():
            told = np.log(share + LEAST_SHARE)
            blended = [hit_rate(log_chances + weight * told, users) for weight in BLENDS]
            best["both"] = max(best["both"], *blended)
    return best


def main() -> None:
    """For each kind a row: by seed, and the mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = [ceilings(given.data_dir, seed, given.epochs) for seed in range(given.seeds)]
    print(
        "| HR@10 after 1-4 |", " | ".join(f"seed {seed}" for seed in range(given.seeds)), "| mean |"
    )
    print("|---|" + "---|" * (given.seeds + 1))
    for name in found[0]:
        rates = [best[name] for best in found]
        print(
            f"| {name} |",
            " | ".join(f"{rate:.4f}" for rate in [*rates, float(np.mean(rates))]),
            "|",
        )


if __name__ == "__main__":
    main()
