"""The average of the slow weights: what it is of, and when it is what is published."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.learner.averaging import WeightAverage
from metarec_stream.learner.contenders import Contender, Contenders
from metarec_stream.learner.drift import DriftWatch
from metarec_stream.learner.events import events_of
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.snapshot import Snapshot, beginning
from metarec_stream.learner.start import built_in_version
from metarec_stream.learner.tables import SlowWeights
from tests.learner.planted import ITEMS, planted_block, quick_settings

CPU = torch.device("cpu")
CONTENDERS: tuple[Contender, ...] = ("candidate", "average")
SETTINGS = quick_settings()
LARGE_STEPS = quick_settings(value_rate=0.5, table_rate=0.2, features_rate=0.2)
"""After which single versions are noisy, so that their average is ahead."""


def weights(items: int) -> SlowWeights:
    """Those of version 0, with rows for items."""
    made = SlowWeights(built_in_version(SETTINGS), CPU)
    made.add_items([f"item-{number}" for number in range(items)])
    return made


def averaged(walk: list[float], used: list[bool], steps: int) -> tuple[float, float]:
    """A bias and taste's weight, of which a candidate took these values; the bias if it was used.

    Values of a bias that was not used in a step are not taken: it does not move then.
    """
    candidate, average = weights(2), WeightAverage(weights(2), steps, CPU)
    for value, uses in zip(walk, used, strict=True):
        candidate.small["taste"].fill_(value)
        if uses:
            candidate.tables["bias"][1] = value
        average.follow(candidate, {"bias": torch.tensor([1] if uses else [0])})
    return float(average.weights.tables["bias"][1]), float(average.weights.small["taste"])


@given(st.lists(st.tuples(st.floats(-5, 5, width=32), st.booleans()), min_size=1, max_size=40))
def test_late_steps_count_most(walk: list[tuple[float, bool]]) -> None:
    """The k-th step counts as k (k + 1) ... (k + 7): a row's by those that used it alone."""
    values, used = [value for value, _ in walk], [uses for _, uses in walk]
    bias, taste = averaged(values, used, steps=1_000)
    assert taste == pytest.approx(_by_hand(values), abs=1e-4)
    mine = [value for value, uses in walk if uses]
    assert bias == pytest.approx(_by_hand(mine) if mine else 0.0, abs=1e-4)


def _by_hand(values: list[float]) -> float:
    counts = [np.prod(np.arange(k, k + 8, dtype=np.float64)) for k in range(1, len(values) + 1)]
    return float(np.average(values, weights=counts))


def test_an_average_spans_so_many_steps_at_most() -> None:
    """After a jump, the old value's share shrinks by a hundredth a step; by all of it with 1."""
    values = [0.0] * 2_000 + [1.0] * 50
    _, taste = averaged(values, [False] * len(values), steps=100)
    assert taste == pytest.approx(1 - 0.99**50, abs=1e-4)
    _, newest = averaged(values[:2_001], [False] * 2_001, steps=1)
    assert newest == 1.0


def test_anew_it_is_what_the_candidate_is() -> None:
    """After it began anew the first step is all that it knows, and the next is one of two."""
    candidate, average = weights(1), WeightAverage(weights(1), 100, CPU)
    row = {"bias": torch.tensor([0])}
    for _ in range(50):
        average.follow(candidate, row)
    average.begin_anew()
    candidate.tables["bias"][0] = 3.0
    average.follow(candidate, row)
    assert float(average.weights.tables["bias"][0]) == 3.0
    assert set(average.tensors()) == {"uses/small", "uses/bias"}
    assert average.tensors()["uses/bias"].tolist() == [1.0]


def chosen_after(both: Contenders, lead: float, blocks: int, weight: float = 1.0) -> Contender:
    """The contender after blocks of which the average had so much less loss."""
    one = np.ones(256)
    for _ in range(blocks):
        both.note(one, (1.0 - lead) * one, weight * one)
    return both.chosen


def test_the_contender_is_who_had_less_loss() -> None:
    """The newest events count most; at the beginning it is the candidate."""
    both = Contenders()
    assert chosen_after(both, 0.0, 1) == "candidate"
    assert chosen_after(both, 0.1, 20) == "average"
    assert chosen_after(both, -0.1, 12) == "candidate"
    assert chosen_after(both, 99.0, 1, weight=0.0) == "candidate", "events without weight told"


@pytest.mark.parametrize("before", CONTENDERS)
def test_who_is_hardly_ahead_does_not_take_the_place(before: Contender) -> None:
    """By less than half a thousandth to and fro: whoever was chosen stays."""
    both = Contenders(chosen=before)
    for lead in (3e-4, -3e-4) * 50:
        assert chosen_after(both, lead, 1) == before


def test_what_is_published_is_the_contender() -> None:
    """A version is the candidate or the average, whichever it says: small steps or large ones."""
    kinds = set()
    for settings in (SETTINGS, LARGE_STEPS):
        one = Learner(settings, built_in_version(settings))
        for number in range(60):
            one.take(planted_block(number), number + 1)
            version = one.decide(now_ms=number)
            if version:
                kind = "average" if version.metrics["averaged"] else "candidate"
                kinds.add(kind)
                for name in CONTENDERS:
                    served = one.replica.contender(name).arrays()["value"]
                    assert np.array_equal(version.parameters["value"], served) == (name == kind)
    assert kinds == {"candidate", "average"}, "one was never ahead: half of this is not tested"


def test_the_average_of_large_steps_has_less_loss() -> None:
    """On events of users who stay as they are, that nothing has learned yet."""
    one = Learner(LARGE_STEPS, built_in_version(LARGE_STEPS))
    for number in range(60):
        one.take(planted_block(number), number + 1)
    events = events_of(planted_block(5_000, n=512), np.arange(len(ITEMS), dtype=np.int32))
    average, candidate = one.replica.judge(events).average, one.replica.step(events)
    assert candidate is not None
    assert average.mean() < 0.97 * candidate.mean()


@pytest.mark.parametrize(("risen", "chosen"), [(0.0, "average"), (0.5, "candidate")])
def test_after_a_drift_the_newest_weights_contend(
    risen: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was learned of both before it says nothing of who is ahead after it.

    risen: by how much ADWIN finds that losses rose.
    """
    begun = beginning(built_in_version(SETTINGS), newest=0)
    progress = msgspec.structs.replace(begun.progress, contenders=Contenders(1e6, 0.0, "average"))
    checkpoint = Snapshot(progress, begun.arrays)
    one = Learner(SETTINGS, built_in_version(SETTINGS), checkpoint=checkpoint)
    monkeypatch.setattr(DriftWatch, "watch", lambda watch, losses: risen)
    one.take(planted_block(0), 1)
    assert one.reacting == (risen > 0)
    assert one.snapshot().progress.contenders.chosen == chosen
