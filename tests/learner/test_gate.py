"""The gate lets through what is better, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from metarec_stream.learner.gate import Gate
from metarec_stream.learner.settings import GateSettings


def gate(confidence: float = 1.0) -> Gate:
    """A gate over the newest 100 events, deciding from 50 on."""
    return Gate(GateSettings(window=100, minimum=50, confidence=confidence))


def test_too_few_events_give_no_decision() -> None:
    """Below the minimum there is no verdict, however large the differences; at it there is one."""
    one = gate()
    one.add(np.full(49, 5.0))
    assert one.verdict() is None
    one.add(np.array([4.0]))
    verdict = one.verdict()
    assert verdict is not None
    assert verdict.events == 50


def test_the_margin_is_held_against_its_standard_error() -> None:
    """Margin and error are the mean and std / √n; the confidence decides between them."""
    differences = np.tile([0.3, -0.1], 50)
    error = differences.std(ddof=1) / 10
    for confidence, outcome in (
        (0.1 / error - 0.01, "published"),
        (0.1 / error + 0.01, "held"),
    ):
        one = gate(float(min(confidence, 10)))
        one.add(differences)
        verdict = one.verdict()
        assert verdict is not None
        assert verdict.margin == pytest.approx(0.1)
        assert verdict.standard_error == pytest.approx(error)
        assert verdict.outcome == outcome


def test_a_worse_or_an_equal_candidate_is_held() -> None:
    """Nothing passes without a positive margin, not even with no variance at all."""
    for difference in (0.0, -0.1):
        one = gate(confidence=0.0)
        one.add(np.full(80, difference))
        verdict = one.verdict()
        assert verdict is not None
        assert verdict.outcome != "published"


def test_only_the_newest_window_counts() -> None:
    """What fell out of the window no longer speaks for the candidate."""
    one = gate()
    one.add(np.full(100, 9.0))
    one.add(np.full(100, -0.01))
    verdict = one.verdict()
    assert verdict is not None
    assert verdict.events == 100
    assert verdict.margin == pytest.approx(-0.01)


def test_the_same_events_are_decided_once_and_forgotten_at_an_anchor() -> None:
    """A second verdict needs new events; from a new anchor they start from none."""
    one = gate()
    one.add(np.full(100, 0.0))
    assert one.verdict() is not None
    assert one.verdict() is None
    one.add(np.full(1, 0.0))
    assert one.verdict() is not None
    one.new_anchor()
    one.add(np.full(49, 1.0))
    assert one.verdict() is None


def test_a_passed_test_lends_trust_for_a_window() -> None:
    """Meanwhile what is ahead is published without another test, and before there is enough."""
    one = gate()
    one.add(np.full(60, 1.0))
    assert outcome(one) == "published"
    one.new_anchor()
    one.add(np.full(10, -5.0))
    assert outcome(one) == "published"
    one.add(np.tile([9.0, -8.9], 30))
    assert outcome(one) == "held"
    one.new_anchor()
    one.add(np.full(30, 0.0))
    assert one.trust == 0
    assert one.verdict() is None


def test_what_went_wrong_is_withdrawn() -> None:
    """A margin twice the confidence below zero: the trust is gone, and a new test is needed."""
    one = gate()
    one.add(np.full(60, 1.0))
    assert outcome(one) == "published"
    one.new_anchor()
    one.add(np.tile([0.0, -1.0], 30))
    assert outcome(one) == "withdrawn"
    assert one.trust == 0


def outcome(one: Gate) -> str | None:
    """What the gate says now."""
    verdict = one.verdict()
    return None if verdict is None else verdict.outcome
