"""Means and t-intervals, by hand."""

from __future__ import annotations

import math

import pytest

from metarec_stream.benchmark.statistics import Estimate, estimate


def test_three_values_by_hand() -> None:
    """1, 2, 3: standard deviation 1, and 4.303 is the quantile of two degrees of freedom."""
    found = estimate([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.half_width == pytest.approx(4.303 / math.sqrt(3))
    assert found.count == 3


def test_one_value_has_no_interval() -> None:
    """Nothing is said about its spread; equal values have none."""
    assert estimate([0.5]) == Estimate(0.5, None, 1)
    assert estimate([0.5, 0.5]) == Estimate(0.5, 0.0, 2)


def test_the_interval_of_many_values_is_not_too_narrow() -> None:
    """Beyond the table: at least the 1.96 standard errors of the normal distribution."""
    values = [float(number % 2) for number in range(100)]
    found = estimate(values)
    error = math.sqrt(100 / 99) * 0.5 / math.sqrt(100)
    assert found.half_width is not None
    assert 1.96 * error < found.half_width < 2.1 * error


def test_no_value_has_no_mean() -> None:
    """It is an error, not a zero."""
    with pytest.raises(ValueError, match="no value"):
        estimate([])
