"""Lists that answer events: the reasons that are given for an item."""

from __future__ import annotations

import numpy as np
import pytest

from metarec_stream.catalogue.items import EXCLUDED
from metarec_stream.pipeline.answer import WHY, answer, empty_lists
from metarec_stream.pipeline.features import DENSE, RELATED, RING
from metarec_stream.pipeline.rerank import empty_strongest
from metarec_stream.pipeline.scratch import Scratch, empty_scratch

ITEMS, TOUCHED = 3, 1
REASONS = {
    "transition_from_latest": "transition",
    "transition_from_second": "transition",
    "transition_from_older": "transition",
    "transition_count": "transition",
    "cooccurrence_weighted": "cooccurrence",
    "cooccurrence_sum": "cooccurrence",
    "cooccurrence_steep": "cooccurrence",
    "transition_to_owned": "transition",
    "wide_cooccurrence_sum": "cooccurrence",
    "wide_cooccurrence_mean": "cooccurrence",
    "cooccurrence_with_latest": "cooccurrence",
    "cooccurrence_with_second": "cooccurrence",
    "recent_transition_from_latest": "transition",
    "recent_transition_from_second": "transition",
    "cooccurrence_in_histories_alike": "cooccurrence",
}


def touched_item() -> Scratch:
    """One candidate, which the user's ring touches; nothing lifts it yet."""
    scratch = empty_scratch(ITEMS, 4)
    scratch.scores[:] = EXCLUDED
    scratch.scores[TOUCHED] = 1.0
    scratch.mark[TOUCHED] = 0
    return scratch


def reasons(scratch: Scratch, taste: float = 0.0, owned: int = 0) -> list[str]:
    """Those given for the one item of the list, strongest first."""
    lists = empty_lists(1, ITEMS)
    bias = np.full(ITEMS, taste, np.float32)
    query, embedding = np.zeros(2, np.float32), np.zeros((2, ITEMS), np.float32)
    answer(
        lists, 0, ITEMS, 0, empty_strongest(0, 1), owned, query, embedding, bias, np.float32(1),
        scratch,
    )  # fmt: skip
    assert lists.item[0].tolist() == [TOUCHED, -1, -1]
    return [WHY[code] for code in lists.why[0, 0] if code >= 0]


@pytest.mark.parametrize("feature", RELATED)
def test_what_a_related_feature_lifts_is_explained_by_its_name(feature: str) -> None:
    """A transition or a co-occurrence, near or wide: the group that the feature belongs to."""
    scratch = touched_item()
    number = RELATED.index(feature)
    scratch.weights[len(DENSE) + len(RING) + number] = 2.0
    scratch.related[number, 0] = 0.5
    assert reasons(scratch) == [REASONS[feature]]


def test_reasons_come_strongest_first_and_weak_ones_are_left_out() -> None:
    """Terms of a group are added up; what pulls down or hardly lifts is no reason."""
    scratch = touched_item()
    scratch.weights[:] = 1.0
    scratch.ring[0, RING.index("in_ring")] = 0.7
    scratch.related[RELATED.index("cooccurrence_sum"), 0] = 0.5
    scratch.related[RELATED.index("wide_cooccurrence_sum"), 0] = 0.5
    scratch.related[RELATED.index("transition_count"), 0] = 0.2
    assert reasons(scratch, taste=-3.0, owned=1) == ["cooccurrence", "repeat"]
    assert reasons(scratch, taste=3.0, owned=0) == ["taste", "cooccurrence"]


def test_an_item_that_nothing_lifts_is_popular() -> None:
    """There is always a reason."""
    assert reasons(touched_item()) == ["popular"]
