"""What is left out stays out, in the ranking and in what is learned."""

from __future__ import annotations

import numpy as np
import pytest

from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.task_codec import decode_task_block
from metarec_stream.evaluate.models import ABLATIONS, chosen_models
from metarec_stream.pipeline.ablation import PARTS, kept_features
from metarec_stream.pipeline.features import FEATURES
from metarec_stream.pipeline.recommender import RankProtocol
from tests.pipeline.test_recommender import SETTINGS, tasks_of
from tests.stream import random_interactions, recommender, records


def test_every_part_is_a_model() -> None:
    """`default-without-…` for each, as the command line takes them."""
    names = [f"default-without-{part}" for part in PARTS]
    assert list(ABLATIONS) == names
    assert chosen_models(",".join(names)) == names


@pytest.mark.parametrize(
    ("part", "feature"),
    [
        ("repeats", "in_ring"),
        ("popularity", "popularity_500"),
        ("transitions", "transition_from_latest"),
        ("cooccurrence", "wide_cooccurrence_sum"),
    ],
)
def test_features_of_a_part_are_zero(part: str, feature: str) -> None:
    """In every task, while all others are as they were."""
    stream = records(random_interactions(150, seed=1))
    whole = recommender(SETTINGS).process(stream)
    less = recommender(SETTINGS, protocol=RankProtocol(without=frozenset((part,)))).process(stream)
    at = FEATURES.index(feature)
    values = [block.features for block in tasks_of(whole.outputs)]
    without = [block.features for block in tasks_of(less.outputs)]
    assert max(float(np.abs(x[..., at]).max()) for x in values) > 0
    kept = kept_features(frozenset((part,)))
    assert all((x[..., kept == 0] == 0).all() for x in without)
    assert kept.sum() < len(FEATURES)
    assert all((np.abs(x[..., kept == 1]).sum() > 0) for x in without)


def test_without_fast_weights_nothing_is_known_of_a_user() -> None:
    """No window and no own weight of a feature reaches the learner, and all have one query."""
    protocol = RankProtocol(without=frozenset(("fast-weights",)))
    result = recommender(SETTINGS, protocol=protocol).process(
        records(random_interactions(150, seed=2))
    )
    for output in result.outputs:
        if output.topic == SETTINGS.topics.tasks:
            block = decode_task_block(output.value)
            assert (block.window == -1).all()
            assert (block.feature_weights[:, 0] == 0).all()


def test_without_fast_weights_there_is_room_for_every_user() -> None:
    """Nothing is rebuilt, but what is read of a user is there, however many come."""
    protocol = RankProtocol(without=frozenset(("fast-weights",)))
    one = recommender(SETTINGS, protocol=protocol)
    one.process(
        records(
            Interaction(user=f"u{number}", item="a", ts=1_700_000_000_000 + number)
            for number in range(1_500)
        )
    )
    assert len(one.users) == 1_500
    assert min(len(one._live.fast.time), len(one._live.own.delta)) >= 1_500
