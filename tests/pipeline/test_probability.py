"""Probabilities of interaction: by hand, against the softmax, and as they are published."""

from __future__ import annotations

import numpy as np
import pytest

from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.catalogue.items import EXCLUDED
from metarec_stream.config import Settings
from metarec_stream.pipeline.observe import EXPECTED_AMONG, empty_observed, note_list
from metarec_stream.pipeline.probability import empty_listed, note_probabilities
from metarec_stream.pipeline.recommender import RankProtocol
from metarec_stream.pipeline.rerank import empty_strongest
from metarec_stream.pipeline.scratch import Scratch, empty_scratch
from tests.stream import lists_of, random_interactions, recommender, records

LISTING = RankProtocol(lists=True)


def scratch_of(scores: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Scratch:
    """Room whose final scores are these."""
    scratch = empty_scratch(len(scores), 1)
    scratch.scores[:] = scores
    return scratch


def test_three_candidates_by_hand() -> None:
    """Scores are logarithms of odds; a temperature of 2 takes their square roots."""
    scratch = scratch_of(np.log(np.array([9.0, 4.0, 1.0], np.float32)))
    scores, probability = scratch.scores.copy(), np.zeros(3, np.float32)
    note_probabilities(scratch, 3, np.float32(1), scores, 3, probability)
    assert probability.tolist() == pytest.approx([9 / 14, 4 / 14, 1 / 14], rel=5e-5)
    note_probabilities(scratch, 3, np.float32(2), scores, 3, probability)
    assert probability.tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6], rel=5e-5)


def test_nobody_to_recommend_has_no_probability() -> None:
    """An empty list leaves zeros, not a division by nothing."""
    probability = np.zeros(2, np.float32)
    scratch = scratch_of(np.full(4, EXCLUDED, np.float32))
    note_probabilities(scratch, 4, np.float32(1), np.zeros(2, np.float32), 0, probability)
    assert probability.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("spread", [0.01, 3.0, 60.0])
def test_probabilities_are_the_softmax_of_all_candidates(temperature: float, spread: float) -> None:
    """They sum to one; what is no candidate has no part, and neither has what is beyond."""
    items = 3_000
    scores = np.random.default_rng(1).normal(0, spread, items + 10).astype(np.float32)
    scores[::7] = EXCLUDED
    best = np.sort(scores[:items][scores[:items] > EXCLUDED])[::-1].copy()
    probability = np.zeros(len(best), np.float32)
    note_probabilities(
        scratch_of(scores), items, np.float32(temperature), best, len(best), probability
    )
    exact = np.exp((best.astype(np.float64) - best[0]) / temperature)
    np.testing.assert_allclose(probability, exact / exact.sum(), rtol=1e-4, atol=1e-12)
    assert probability.sum() == pytest.approx(1.0, abs=1e-4)


def test_a_list_is_noted_with_what_its_first_ten_promise() -> None:
    """A list of three keeps three probabilities; ten are added up, or all if there are fewer."""
    scores = np.log(np.arange(1, 21, dtype=np.float32))
    observed = empty_observed(2, 3, 1)
    for row, frontier in enumerate((20, 4)):
        note_list(
            observed, row, frontier, 0, empty_strongest(0, 1), np.float32(1),
            empty_listed(EXPECTED_AMONG), scratch_of(scores),
        )  # fmt: skip
    assert observed.lists.tolist() == [[19, 18, 17], [3, 2, 1]]
    np.testing.assert_allclose(observed.probability[0], np.array([20, 19, 18]) / 210, rtol=1e-4)
    assert observed.expected.tolist() == pytest.approx([sum(range(11, 21)) / 210, 1.0], rel=1e-4)


def test_published_probabilities_of_a_whole_catalogue_sum_to_one() -> None:
    """A list as long as the catalogue holds the softmax of its scores, version 0's as they are."""
    settings = Settings(value_sum=ValueSumSettings(dimensions=8, time_scales=2, window=8))
    rank = settings.rank.model_copy(update={"top_k": 30})
    settings = settings.model_copy(update={"rank": rank})
    one = recommender(settings, protocol=LISTING)
    result = one.process(records(random_interactions(60, seed=1)))
    lists = lists_of(result.outputs, settings)
    assert len(lists) > 1
    for shown in lists:
        stated = [place.probability or 0.0 for place in shown.items]
        scores = np.array([place.score for place in shown.items])
        expected = np.exp(scores - scores[0])
        np.testing.assert_allclose(stated, expected / expected.sum(), rtol=1e-3)
    observed = result.observations
    later = observed.candidates > 0
    np.testing.assert_allclose(observed.probability[later].sum(1), 1.0, atol=1e-4)
    assert (observed.probability[observed.lists < 0] == 0).all()
