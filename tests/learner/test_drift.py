"""The watch over the live version's loss."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from metarec_stream.learner.drift import DriftWatch
from metarec_stream.metrics import LearnerMetrics


def test_a_change_of_the_mean_is_found_and_a_steady_loss_is_not() -> None:
    """Nothing in 300 blocks of noise; a step of half a standard deviation within 5 blocks."""
    registry = CollectorRegistry()
    watch = DriftWatch(LearnerMetrics(registry))
    draw = np.random.default_rng(0)
    assert not any(watch.watch(draw.normal(4.0, 1.0, 256)) for _ in range(300))
    risen = [watch.watch(draw.normal(4.5, 1.0, 256)) for _ in range(20)]
    assert sum(risen[:5]) > 0
    assert 2_000 < watch.recent_events < 20 * 256 + 1_000
    assert (registry.get_sample_value("metarec_drifts_total") or 0) >= 1
    recent = registry.get_sample_value("metarec_outer_loop_recent_loss")
    assert recent == pytest.approx(4.5, abs=0.1)


def test_a_restored_watch_is_the_same() -> None:
    """It finds the drifts that the other finds, at the same block; also beyond what is kept."""
    metrics = LearnerMetrics(CollectorRegistry())
    draw = np.random.default_rng(1)
    watch = DriftWatch(metrics)
    watch.watch(draw.normal(4.0, 1.0, 32 * 70_000))
    assert len(watch.means()) == 65_536 // 2 + 70_000 - 65_536
    again = DriftWatch(metrics)
    again.restore(watch.means())
    risen = 0.0
    for _ in range(40):
        block = draw.normal(4.3, 1.0, 256)
        now = watch.watch(block)
        assert again.watch(block) == now
        assert again.recent_loss == watch.recent_loss
        risen += now
    assert risen > 0
