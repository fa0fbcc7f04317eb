"""The watch over the live version's loss."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from metarec_stream.learner.drift import DriftWatch
from metarec_stream.metrics import LearnerMetrics


def test_a_change_of_the_mean_is_found_and_a_steady_loss_is_not() -> None:
    """Nothing in 4,000 events of noise; a step of one standard deviation within 500."""
    registry = CollectorRegistry()
    watch = DriftWatch(LearnerMetrics(registry))
    draw = np.random.default_rng(0)
    assert watch.watch(draw.normal(4.0, 1.0, 4_000).tolist()) == 0
    assert watch.watch(draw.normal(5.0, 1.0, 500).tolist()) >= 1
    assert (registry.get_sample_value("metarec_drifts_total") or 0) >= 1
    recent = registry.get_sample_value("metarec_outer_loop_recent_loss")
    assert recent == pytest.approx(5.0, abs=0.3)
