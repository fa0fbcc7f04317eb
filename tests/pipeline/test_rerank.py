"""The re-ranker as it is served, beside the one that is trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metarec_stream.adapters.protocol import Reranker
from metarec_stream.adapters.value_sum.outer import Tasks, residuals
from metarec_stream.catalogue.top_k import top_k
from metarec_stream.pipeline.features import FEATURES, SITUATION
from metarec_stream.pipeline.rerank import best_first, empty_strongest, rerank
from metarec_stream.pipeline.score import (
    FLOOR,
)
from metarec_stream.pipeline.scratch import empty_scratch
from tests.pipeline.test_score import ITEMS, NOW_S, RING, soft_state

UNITS, STRONGEST = 6, 9


def network(share: float) -> Reranker:
    """Random weights."""
    draw = np.random.default_rng(4)

    def normal(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return draw.normal(size=shape).astype(np.float32)

    inputs = len(FEATURES) + 1 + len(SITUATION)
    return Reranker(
        normal(inputs, UNITS), normal(UNITS), normal(UNITS, UNITS), normal(UNITS), normal(UNITS),
        np.full(1, share, np.float32),
    )  # fmt: skip


def test_what_is_served_is_what_is_trained() -> None:
    """The strongest get the network's word times its share, all others keep their scores."""
    soft, given = soft_state(), network(share=0.5)
    scratch = empty_scratch(len(soft.availability.status), RING)
    strongest = empty_strongest(STRONGEST, UNITS)
    before = np.random.default_rng(5).normal(size=ITEMS).astype(np.float32) * 30
    before[7] = FLOOR
    scratch.scores[:ITEMS] = before
    situation = np.linspace(0.2, 1.0, len(SITUATION)).astype(np.float32)
    popularity = soft.popularity
    count = rerank(given, situation, float(NOW_S), 0, ITEMS, popularity, scratch, strongest)
    expected = np.argsort(-before, kind="stable")[:STRONGEST]
    assert strongest.item[:count].tolist() == expected.tolist()
    one = torch.from_numpy
    tasks = Tasks(
        candidates=one(strongest.item[None]).long(),
        reranked=torch.ones(1, STRONGEST),
        log_q=torch.zeros(1, STRONGEST),
        features=one(strongest.x[None]),
        window=torch.zeros(1, 1).long(),
        gaps=torch.zeros(1, 1),
        situation=one(situation[None]),
        feature_weights=torch.zeros(1, 3, len(FEATURES)),
        weights=torch.ones(1),
        unlearned=torch.ones(1),
        item_tokens=torch.zeros(0, 0).long(),
        profile_tokens=torch.zeros(1, 0).long(),
    )
    parameters = {f"rerank_{name}": one(array) for name, array in given._asdict().items()}
    added = residuals(parameters, tasks, one(before[expected][None]))[0].numpy()
    moved = scratch.scores[:ITEMS] - before
    np.testing.assert_allclose(moved[expected], 0.5 * added, rtol=1e-3, atol=1e-3)
    assert np.abs(added).max() > 0.1
    assert (np.delete(moved, expected) == 0).all()


def test_a_share_of_zero_changes_nothing() -> None:
    """Version 0's re-ranker finds the strongest, whose features the task needs, and no more."""
    soft = soft_state()
    scratch = empty_scratch(len(soft.availability.status), RING)
    strongest = empty_strongest(STRONGEST, UNITS)
    scratch.scores[:ITEMS] = np.arange(ITEMS)
    situation = np.ones(len(SITUATION), np.float32)
    count = rerank(
        network(share=0.0), situation, float(NOW_S), 0, ITEMS, soft.popularity, scratch, strongest
    )
    assert count == STRONGEST
    assert scratch.scores[:ITEMS].tolist() == list(range(ITEMS))
    assert np.abs(strongest.x[:count]).sum(1).min() > 0


@pytest.mark.parametrize("candidates", [5, STRONGEST, ITEMS])
@pytest.mark.parametrize("k", [1, 6, 12])
@pytest.mark.parametrize("shift", [-8, 0, 3])
def test_the_list_is_that_of_all_candidates(candidates: int, k: int, shift: int) -> None:
    """Also where the re-ranker pushed the strongest below others, scores are equal, or few."""
    scratch, strongest = empty_scratch(ITEMS, RING), empty_strongest(STRONGEST, UNITS)
    draw = np.random.default_rng(candidates * k)
    items, scores = np.zeros(k, np.int32), np.zeros(k, np.float32)
    expected, best = items.copy(), scores.copy()
    for _ in range(50):
        scratch.scores[:] = FLOOR
        scratch.scores[:candidates] = draw.integers(0, 12, candidates)
        found = top_k(
            scratch.scores, ITEMS, FLOOR, STRONGEST, strongest.item, strongest.score
        )  # fmt: skip
        scratch.scores[strongest.item[:found]] += draw.integers(-4, 5, found) + shift
        count = best_first(strongest, found, ITEMS, k, scratch, items, scores)
        assert count == top_k(scratch.scores, ITEMS, FLOOR, k, expected, best) > 0
        assert items[:count].tolist() == expected[:count].tolist()
        assert scores[:count].tolist() == best[:count].tolist()
