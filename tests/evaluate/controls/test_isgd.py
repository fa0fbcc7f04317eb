"""The control of incremental matrix factorisation against a plain reading of its definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from metarec_stream.evaluate.controls.isgd import (
    SETTINGS,
    Steps,
    best_steps,
    first_factors,
    isgd,
    rank_by_factors,
)
from metarec_stream.evaluate.metrics import ranks
from metarec_stream.evaluate.protocol import Protocol
from tests.evaluate.controls.plain import Events, assert_ranked, protocols, wanted
from tests.evaluate.streams import grouped_stream, some_events, stream_from


@given(some_events, protocols)
def test_ranks_are_those_of_the_products_nearness_to_one(
    events: Events, protocol: Protocol
) -> None:
    """Under every protocol, after a step for each outcome: the user first, then the item."""
    stream = stream_from([(user, item) for user, item, _ in events], [kind for *_, kind in events])
    steps = Steps(factors=3, rate=0.3, decay=0.1)

    def scores(row: int) -> dict[int, float]:
        users, items = first_factors(stream, steps.factors, seed=5)
        for user, item in wanted(stream, row):
            error = 1 - users[user] @ items[item]
            users[user] += steps.rate * (error * items[item] - steps.decay * users[user])
            items[item] += steps.rate * (error * users[user] - steps.decay * items[item])
        nearness = -np.abs(1 - items @ users[stream.users[row]])
        return dict(enumerate(nearness.tolist()))

    ranked = rank_by_factors(stream, protocol, steps, 5, slice(0, len(stream)))
    assert_ranked(ranked, stream, protocol, scores)


def test_groups_of_items_are_learned_and_the_seed_decides() -> None:
    """Better than chance among twenty; the same with the same seed, other with another."""
    stream, protocol = grouped_stream(3_000), Protocol(score_from=0.8)
    found = isgd(stream, protocol, 1)
    assert found.rows.tolist() == stream.scored(protocol).tolist()
    assert np.mean(ranks(found, "mid") <= 5) > 0.7
    assert found.greater.tolist() == isgd(stream, protocol, 1).greater.tolist()
    assert found.greater.tolist() != isgd(stream, protocol, 2).greater.tolist()


def test_steps_are_chosen_before_the_scored_part() -> None:
    """The choice is the best on the last tenth before, and other rows after change nothing."""
    stream, protocol = grouped_stream(2_000), Protocol(score_from=0.5)

    def mrr(steps: Steps) -> float:
        ranked = rank_by_factors(stream, protocol, steps, 0, slice(900, 1_000))
        return float(np.mean(1 / ranks(ranked, "mid")))

    assert best_steps(stream, protocol, 0) == max(SETTINGS, key=mrr)


def test_steps_that_diverge_score_nothing() -> None:
    """Factors that are no numbers rank the target last: they never pass for a hit."""
    stream = stream_from([("a", f"i{row % 5}") for row in range(400)])
    diverging = Steps(factors=4, rate=50.0, decay=0.0)
    with np.errstate(all="ignore"):
        ranked = rank_by_factors(stream, Protocol(), diverging, 0, slice(200, 400))
        drawn = rank_by_factors(stream, Protocol(negatives=2), diverging, 0, slice(200, 400))
    assert ranks(ranked, "mid").min() >= 5
    assert ranks(drawn, "mid").min() >= 3
