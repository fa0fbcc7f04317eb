"""The learner against its anchor: fast publication while it helps, withdrawal when it does not."""

from __future__ import annotations

import numpy as np
import torch
from prometheus_client import CollectorRegistry

from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.task import TaskBlock
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.start import built_in_version
from metarec_stream.metrics import LearnerMetrics
from metarec_stream.pipeline.features import FEATURES
from tests.learner.planted import planted_block, quick_settings

SETTINGS = quick_settings()


def fed(learner: Learner, blocks: list[TaskBlock]) -> list[MetaVersion]:
    """The versions that come of the blocks, one decision after each."""
    versions = []
    for number, block in enumerate(blocks):
        learner.take(block, number + 1)
        versions.append(learner.decide(now_ms=number))
    return [version for version in versions if version is not None]


def test_once_trusted_every_block_is_a_version() -> None:
    """None has to pass a test alone: a block apart they differ by less than one can tell."""
    one = Learner(SETTINGS, built_in_version(SETTINGS))
    fed(one, [planted_block(seed) for seed in range(20)])
    versions = fed(one, [planted_block(seed) for seed in range(20, 30)])
    assert len(versions) >= 8


def test_what_went_wrong_is_taken_back() -> None:
    """The version after a bad turn has the weights that the anchor had, and says so in a metric."""
    registry = CollectorRegistry()
    one = Learner(SETTINGS, built_in_version(SETTINGS), LearnerMetrics(registry))
    fed(one, [planted_block(seed) for seed in range(20)])
    with torch.no_grad():
        for weights in (one.replica.candidate, one.replica.average):
            weights.tables["embedding"].mul_(-1)
    anchor = one.replica.anchor.arrays()
    versions = fed(one, [planted_block(seed) for seed in range(20, 24)])
    name = "metarec_gate_decisions_total"
    assert registry.get_sample_value(name, {"decision": "withdrawn"}) == 1
    back = next(version for version in versions if version.metrics["margin"] < 0)
    for name, array in back.parameters.items():
        if name != "rerank_share":
            np.testing.assert_array_equal(array, anchor[name], name)
    assert [version.parent for version in versions] == [version.version - 1 for version in versions]


def test_a_re_ranker_that_misleads_is_left_out() -> None:
    """The share is the best one on events not yet learned: 0 if it turns the order round."""
    one = Learner(SETTINGS, built_in_version(SETTINGS))
    fed(one, [planted_block(seed) for seed in range(20)])
    small = one.replica.anchor.small
    with torch.no_grad():
        for name in ("rerank_first", "rerank_second"):
            small[name].zero_()
        small["rerank_first"][len(FEATURES)] = 1.0
        small["rerank_second"].fill_diagonal_(1.0)
        small["rerank_last"].fill_(-100.0)
    one.take(planted_block(20))
    assert float(one.replica.candidate.small["rerank_share"]) == 0.0
