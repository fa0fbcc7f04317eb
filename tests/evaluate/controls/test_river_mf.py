"""The control of river's factorisation against a plain reading of its steps."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("river", reason="the extra `learn` is not installed")

from metarec_stream.evaluate.controls.followed import Mixed
from metarec_stream.evaluate.controls.river_mf import (
    Factors,
    Steps,
    first_factors,
    rank_by_river,
    river_mf,
    river_model,
)
from metarec_stream.evaluate.metrics import ranks
from metarec_stream.evaluate.models import CONTROLS
from metarec_stream.evaluate.protocol import Protocol
from tests.evaluate.controls.plain import assert_ranked, popularity_shares, wanted
from tests.evaluate.streams import grouped_stream, stream_from

STEPS = Steps(factors=3, rate=0.3, decay=0.1, negatives=2)


def step(factors: Factors, mean: float, user: int, item: int, wanted: int) -> None:
    """One of stochastic gradient descent on the logistic loss, with a penalty."""
    vector, other = factors.users[user].copy(), factors.items[item].copy()
    score = mean + factors.user_biases[user] + factors.item_biases[item] + vector @ other
    slope = 1 / (1 + math.exp(-score)) - wanted
    for array, at, gradient in (
        (factors.users, user, slope * other),
        (factors.items, item, slope * vector),
        (factors.user_biases, user, slope),
        (factors.item_biases, item, slope),
    ):
        array[at] -= STEPS.rate * (gradient + STEPS.decay * array[at])


def test_ranks_are_those_of_plain_steps() -> None:
    """An outcome, then what is drawn among the items so far, by the same draws."""
    stream = stream_from([(f"u{row % 3}", f"i{row * row % 7}") for row in range(40)])

    def scores(row: int) -> dict[int, float]:
        generator = np.random.default_rng(4)
        factors = first_factors(stream, STEPS.factors, generator)
        answers: list[int] = []
        for at, (user, item) in enumerate(wanted(stream, row)):
            known = int(stream.items[: at + 1].max()) + 1
            others = (generator.random(STEPS.negatives) * known).astype(int).tolist()
            for each, answer in ((item, 1), *((other, 0) for other in others if other != item)):
                answers.append(answer)
                step(factors, float(np.mean(answers)), user, each, answer)
        found = factors.item_biases + factors.items @ factors.users[stream.users[row]]
        for item, share in popularity_shares(stream, row, 5.0).items():
            found[item] += 0.2 * share
        return dict(enumerate(found.tolist()))

    mixed = Mixed(STEPS, 5.0, 0.2, again=1.0)
    ranked = rank_by_river(stream, Protocol(), mixed, 4, slice(0, len(stream)))
    assert_ranked(ranked, stream, Protocol(), scores)


def test_the_model_learns_in_the_arrays_it_is_given() -> None:
    """A step changes the user's and the item's rows and no other."""
    stream = grouped_stream(50)
    factors = first_factors(stream, 3, np.random.default_rng(0))
    before = [array.copy() for array in factors]
    river_model(factors, STEPS).learn_one(user=1, item=2, y=1)
    for array, old, row in zip(factors, before, (1, 2, 1, 2), strict=True):
        assert np.flatnonzero((array != old).reshape(len(array), -1).any(axis=1)).tolist() == [row]


def test_groups_of_items_are_learned_and_the_seed_decides() -> None:
    """Better than chance among twenty; the same with the same seed, other with another."""
    stream, protocol = grouped_stream(1_500), Protocol(score_from=0.8)
    found = river_mf(stream, protocol, 1)
    assert found.rows.tolist() == stream.scored(protocol).tolist()
    assert np.mean(ranks(found, "mid") <= 5) > 0.7
    mixed, part = Mixed(STEPS, 5.0, 0.2, again=1.0), slice(100, 200)
    one, same, other = (rank_by_river(stream, protocol, mixed, seed, part) for seed in (1, 1, 2))
    assert one.greater.tolist() == same.greater.tolist()
    assert one.greater.tolist() != other.greater.tolist()


@pytest.mark.parametrize("name", ["sessionknn", "ease", "ials", "river-mf"])
def test_a_name_leads_to_its_control(name: str) -> None:
    """All that the protocol scores is ranked, also of one user and one item."""
    for pairs in ([("a", "u")] * 10, [(f"u{row % 3}", f"i{row % 5}") for row in range(40)]):
        stream, protocol = stream_from(pairs), Protocol()
        ranked = CONTROLS[name](stream, protocol, 0)
        assert ranked.rows.tolist() == stream.scored(protocol).tolist()
