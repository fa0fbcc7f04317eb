"""What there is to be reached on the planted change, by listeners who know how it is made.

Each knows the group of every item and in what proportion items of a group are chosen, which nobody
who learns the stream does. They rank as `synthetic-change` asks (what the user has not had), by the
chance to be next, and differ in what they know of a user's taste:

- `told`: the taste itself;
- `warned`: when all tastes changed; Bayes' rule over what came since;
- `wary`: that a taste may change before any event, with a chance; Bayes' rule over everything.

Run: `python -m benchmarks.planted_change_ceiling --seeds 3`.
"""

from __future__ import annotations

import argparse
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metarec_stream.commands.progress import event_bar
from metarec_stream.config import Settings
from metarec_stream.datasets.settings import SyntheticSettings
from metarec_stream.datasets.synthetic import SyntheticStream, synthetic_stream
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.protocols.adaptation import changed_taste

PLACES = 10
PARTS = ("0", "1", "1-4", "5")
"""How many of the user's events came since the change."""

Chances = NDArray[np.float64]
"""[groups], of a user's taste."""


class Listener(Protocol):
    """Who follows the stream row by row."""

    def taste(self, row: int, user: int) -> Chances:
        """What the user's taste is at the row, before its event."""
        ...

    def hear(self, row: int, user: int, group: int) -> None:
        """The event."""
        ...


class Told:
    """Knows every taste."""

    def __init__(self, stream: SyntheticStream, settings: SyntheticSettings) -> None:
        self._taste, self._groups = stream.taste(), np.arange(settings.tastes)

    def taste(self, row: int, user: int) -> Chances:
        taste: Chances = np.equal(self._groups, self._taste[row]).astype(np.float64)
        return taste

    def hear(self, row: int, user: int, group: int) -> None:
        pass


class Wary:
    """Believes that before an event a taste is drawn anew with the chance `hazard`."""

    def __init__(self, stream: SyntheticStream, settings: SyntheticSettings, hazard: float) -> None:
        users, groups = len(stream.truth.user_from), settings.tastes
        self._believed = np.full((users, groups), 1 / groups)
        self._focus, self._elsewhere = settings.focus, (1 - settings.focus) / groups
        self._hazard = hazard

    def taste(self, row: int, user: int) -> Chances:
        kept: Chances = (1 - self._hazard) * self._believed[user]
        return kept + self._hazard / len(kept)

    def hear(self, row: int, user: int, group: int) -> None:
        likely = np.full(self._believed.shape[1], self._elsewhere)
        likely[group] += self._focus
        told = self.taste(row, user) * likely
        self._believed[user] = told / told.sum()


class Warned(Wary):
    """Believes that tastes stay, but for the change, of which they know."""

    def __init__(self, stream: SyntheticStream, settings: SyntheticSettings) -> None:
        super().__init__(stream, settings, hazard=0.0)
        self._change = stream.truth.change_at[0]

    def taste(self, row: int, user: int) -> Chances:
        if row == self._change:
            self._believed[:] = 1 / self._believed.shape[1]
        return super().taste(row, user)


def hits(
    stream: SyntheticStream,
    settings: SyntheticSettings,
    asked: NDArray[np.bool_],
    name: str,
    listener: Listener,
) -> NDArray[np.bool_]:
    """[n] whether an asked event's item was among the ten likeliest."""
    group, weight = stream.truth.item_taste, stream.item_weight
    there = np.searchsorted(stream.truth.item_from, np.arange(len(stream)), side="right")
    had: list[list[int]] = [[] for _ in stream.truth.user_from]
    found = np.zeros(len(stream), np.bool_)
    with event_bar() as bar:
        shown = bar.add_task(name, total=len(stream))
        for row, (user, item) in enumerate(zip(stream.users, stream.items, strict=True)):
            taste = listener.taste(row, user)
            if asked[row]:
                left = weight[: there[row]].copy()
                left[had[user]] = 0.0
                groups = group[: there[row]]
                total = np.bincount(groups, left, len(taste))
                next_group = settings.focus * taste + (1 - settings.focus) / len(taste)
                scores = left * (next_group / np.maximum(total, 1e-12))[groups]
                found[row] = (scores > scores[item]).sum() < PLACES
            listener.hear(row, user, group[item])
            had[user].append(item)
            bar.update(shown, completed=row + 1)
    return found


def parts_of(stream: SyntheticStream) -> dict[str, NDArray[np.bool_]]:
    """[n] the rows that `synthetic-change` scores, by part and all together."""
    questions = changed_taste(stream).questions
    if questions is None:
        raise Fatal("the protocol of a changed taste asks for all rows alike: there are no parts")
    scored = questions.asked & (np.arange(len(stream)) >= stream.truth.change_at[0])
    return {part: questions.parts[f"after {part}"] for part in PARTS} | {"all": scored}


def main() -> None:
    """For each listener a row of HR@10 by events since the change: the means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    settings = Settings().synthetic.model_copy(update={"repeats": 0.0})
    rates: dict[str, list[list[float]]] = {}
    for seed in range(seeds):
        stream = synthetic_stream(settings, seed)
        parts = parts_of(stream)
        listeners: dict[str, Listener] = {
            "told": Told(stream, settings),
            "warned": Warned(stream, settings),
            "wary, .3": Wary(stream, settings, 0.3),
            "wary, .1": Wary(stream, settings, 0.1),
            "wary, .02": Wary(stream, settings, 0.02),
        }
        for name, listener in listeners.items():
            found = hits(stream, settings, parts["all"], f"{name}, seed {seed}", listener)
            rates.setdefault(name, []).append([float(found[at].mean()) for at in parts.values()])
    print("| HR@10 after |", " | ".join((*PARTS, "all")), "|")
    print("|---|" + "---|" * (len(PARTS) + 1))
    for name, by_seed in rates.items():
        means = np.mean(by_seed, axis=0)
        print(f"| {name} |", " | ".join(f"{mean:.3f}" for mean in means), "|")


if __name__ == "__main__":
    main()
