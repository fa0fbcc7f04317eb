"""What the service exports of its own exam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.features import POPULARITY_HALF_LIVES
from metarec_stream.pipeline.prequential import PrequentialMetrics
from metarec_stream.pipeline.results import Observations
from tests.stream import no_observations


def observed(greater: list[int], expected: float) -> Observations:
    """Events with so many candidates above what came, their first ten promising so much each."""
    above = np.array(greater, np.int32)
    ones = np.ones(len(above), np.int32)
    by_half_life = np.ones((len(above), len(POPULARITY_HALF_LIVES)), np.int32)
    return replace(
        no_observations(0), offset=np.arange(len(above)), candidate=ones > 0, greater=above,
        equal=ones, popularity_greater=by_half_life, popularity_equal=by_half_life,
        expected=np.full(len(above), expected, np.float32),
    )  # fmt: skip


def test_expected_hits_stand_beside_hits() -> None:
    """Two events of four are hits where three were promised: the error is a quarter."""
    registry = CollectorRegistry()
    exam = PrequentialMetrics(ConsumerMetrics(registry))
    exam.count(observed([0, 10, 9, 50], expected=0.75))
    value = registry.get_sample_value
    assert value("metarec_prequential_hits_at_10_total", {"model": "model"}) == 2
    assert value("metarec_prequential_expected_hits_at_10_total") == pytest.approx(3.0)
    assert value("metarec_calibration_error") == pytest.approx(0.25)


def test_the_calibration_error_forgets() -> None:
    """After many well calibrated events, what went wrong at first is a small part of it."""
    registry = CollectorRegistry()
    exam = PrequentialMetrics(ConsumerMetrics(registry))
    exam.count(observed([50] * 256, expected=1.0))
    assert registry.get_sample_value("metarec_calibration_error") == pytest.approx(1.0)
    for _ in range(64):
        exam.count(observed([0, 50] * 128, expected=0.5))
    assert 0 < (registry.get_sample_value("metarec_calibration_error") or 0.0) < 0.01
