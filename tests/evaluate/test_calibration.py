"""The measured error of probabilities: by hand, and of events whose probabilities are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.config import Settings
from metarec_stream.evaluate.calibration import calibration, measured
from metarec_stream.evaluate.models import Evaluation, evaluate_models
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.learner.settings import GateSettings, LearnSettings
from tests.evaluate.streams import table_of

SMALL = Settings(
    learn=LearnSettings(block=64, device="cpu"),
    gate=GateSettings(window=128, minimum=64),
    value_sum=ValueSumSettings(dimensions=8, time_scales=2, window=8),
)


def error_of(stated: NDArray[np.float32], hit: NDArray[np.bool_]) -> float:
    """The expected calibration error."""
    found = measured(stated, hit)["expected_calibration_error"]
    assert isinstance(found, float)
    return found


def test_measures_by_hand() -> None:
    """Four statements, fewer than bins: each is a bin of its own."""
    found = measured(
        np.array([0.5, 0.25, 1.0, 0.0], np.float32), np.array([True, False, True, False])
    )
    assert found["brier"] == pytest.approx((0.25 + 0.0625) / 4)
    assert found["log_loss"] == pytest.approx((math.log(2) - math.log(0.75)) / 4, abs=1e-6)
    assert found["expected_calibration_error"] == pytest.approx((0.5 + 0.25) / 4)
    assert (found["mean_probability"], found["hit_rate"], found["statements"]) == (0.4375, 0.5, 4)


def test_places_are_statements_and_padding_is_none() -> None:
    """The first place alone, and all of the first ten; a target that is not listed is a miss."""
    lists = np.array([[4, 7, -1], [7, 4, 2]], np.int32)
    probability = np.array([[0.6, 0.3, 0.0], [0.5, 0.2, 0.1]], np.float32)
    found = calibration(probability, lists, np.array([7, 9], np.int32))
    assert (found["top"]["statements"], found["first_10"]["statements"]) == (2, 5)
    assert found["top"]["hit_rate"] == 0.0
    assert found["first_10"]["hit_rate"] == pytest.approx(1 / 5)
    assert found["top"]["brier"] == pytest.approx((0.36 + 0.25) / 2)


def test_without_statements_nothing_is_measured() -> None:
    """None, not NaN, which JSON cannot hold."""
    found = measured(np.zeros(0, np.float32), np.zeros(0, np.bool_))
    assert (found.pop("statements"), found.pop("reliability")) == (0, [])
    assert set(found.values()) == {None}
    assert found.keys() == measured(np.ones(1, np.float32), np.ones(1, np.bool_)).keys() - {
        "statements",
        "reliability",
    }


def test_known_probabilities_have_a_small_error_and_stretched_ones_a_larger() -> None:
    """Draws that come true as often as stated; the bins hold equally many, in order."""
    generator = np.random.default_rng(3)
    stated = generator.uniform(0, 1, 20_000).astype(np.float32)
    hit = generator.uniform(0, 1, 20_000) < stated
    assert error_of(stated, hit) < 0.02
    assert error_of(stated**2, hit) > 0.1
    bins = measured(stated, hit)["reliability"]
    assert isinstance(bins, list)
    assert [each["statements"] for each in bins] == [2_000] * 10
    rising = [each["mean_probability"] for each in bins]
    assert rising == sorted(rising)


def test_the_default_states_what_it_finds_and_controls_state_nothing() -> None:
    """Users who go on by one most of the time: what it promises is what happens, within 5 %."""
    generator = np.random.default_rng(8)
    places, pairs = generator.integers(0, 12, 20), []
    for _ in range(1_500):
        user = int(generator.integers(20))
        going = generator.random() < 0.6
        places[user] = (places[user] + 1) % 12 if going else generator.integers(12)
        pairs.append((f"u{user}", f"i{places[user]}"))
    evaluation = Evaluation(table_of(pairs), Protocol(score_from=0.5), SMALL, 64)
    models = evaluate_models(evaluation, ("default", "popularity"), lambda _name, _done: None)
    found = models["models"]
    assert isinstance(found, dict)
    assert found["popularity"]["calibration"] is None
    stated = found["default"]["calibration"]
    assert stated["first_10"]["expected_calibration_error"] < 0.05
    assert stated["top"]["statements"] == 750
    assert stated["top"]["hit_rate"] > 0.3
