"""The temperature of the probabilities is found on events whose probabilities are known."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from metarec_stream.contract.task import TaskBlock
from metarec_stream.evaluate.calibration import measured
from metarec_stream.learner.events import events_of
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.start import built_in_version
from metarec_stream.metrics import LearnerMetrics
from metarec_stream.pipeline.features import FEATURES
from tests.learner.planted import ITEMS, planted_block, quick_settings

SPREAD = 3.0
_WEIGHING_ONE = FEATURES.index("popularity_5000")
"""The feature that version 0 adds to the score as it is."""


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """By row."""
    exact: NDArray[np.float64] = np.exp(scores - scores.max(1, keepdims=True))
    shares: NDArray[np.float64] = exact / exact.sum(1, keepdims=True)
    return shares


def drawn(seed: int, temperature: float) -> tuple[TaskBlock, NDArray[np.float64]]:
    """Events [n] whose outcome is drawn from the softmax of known scores [n, items], column 0."""
    generator = np.random.default_rng(seed)
    block = planted_block(seed)
    count = len(block.offsets)
    scores = generator.normal(0, SPREAD, (count, len(ITEMS)))
    chance = softmax(scores / temperature)
    outcome = np.array([generator.choice(len(ITEMS), p=row) for row in chance])
    scores[np.arange(count), 0], scores[np.arange(count), outcome] = (
        scores[np.arange(count), outcome], scores[np.arange(count), 0],
    )  # fmt: skip
    block.features[:, :, _WEIGHING_ONE] = scores
    return block, scores


def found_on(temperature: float, blocks: int = 16, random: int = 0) -> float:
    """The logarithm of what the learner takes; of the items the last ones stand for `random`."""
    settings = quick_settings()
    learner = Learner(settings, built_in_version(settings), LearnerMetrics(CollectorRegistry()))
    replica = learner.replica
    replica.add_items(ITEMS)
    for number in range(blocks):
        block, _ = drawn(number, temperature)
        block = _thinned(block, random) if random else block
        replica.judge(events_of(block, np.arange(len(ITEMS), dtype=np.int32)))
    return float(replica.candidate.small["temperature"])


def _thinned(block: TaskBlock, kept: int) -> TaskBlock:
    """Of all candidates but what came, only so many, each standing for several (logQ)."""
    others = len(ITEMS) - 1
    log_q = np.full((len(block.offsets), 1 + kept), math.log(others / kept), np.float32)
    log_q[:, 0] = 0.0
    return dataclasses.replace(
        block, candidates=block.candidates[:, : 1 + kept], log_q=log_q,
        reranked=block.reranked[:, : 1 + kept], features=block.features[:, : 1 + kept],
    )  # fmt: skip


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.8])
def test_the_temperature_of_the_draw_is_found(temperature: float) -> None:
    """Within a step and a half of the grid, whether scores are too sharp, right or too flat."""
    assert found_on(temperature) == pytest.approx(math.log(temperature), abs=0.19)


def test_the_correction_of_sampled_candidates_is_not_tempered() -> None:
    """Eight of eleven others stand for all: about the same temperature."""
    assert found_on(1.8, blocks=24, random=8) == pytest.approx(math.log(1.8), abs=0.26)


def test_what_is_found_makes_the_calibration_error_small() -> None:
    """Below .05 with the temperature, and more than twice as large without."""
    error = {}
    _, scores = drawn(99, 2.0)
    hit = np.zeros(scores.shape, np.bool_)
    hit[:, 0] = True
    for name, log_temperature in (("fitted", found_on(2.0)), ("off", 0.0)):
        stated = softmax(scores / math.exp(log_temperature)).astype(np.float32)
        gap = measured(stated.ravel(), hit.ravel())["expected_calibration_error"]
        assert isinstance(gap, float)
        error[name] = gap
    assert error["fitted"] < 0.05
    assert error["off"] > 2 * error["fitted"]
