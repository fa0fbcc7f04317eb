"""The mean of a few seeds, and how far off it may be."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95

_STUDENT_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Quantiles at 0.975 of Student's t with 1, 2, ... degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with the half-width of its interval of 95 %."""

    mean: float
    half_width: float | None
    """None of a single value, which says nothing about its spread."""
    count: int


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and t-interval of independent runs; raises ValueError without any.

    Beyond the table the last quantile stands, which makes the interval a little too wide.
    """
    if not values:
        raise ValueError("there is no value to estimate a mean from")
    mean = statistics.fmean(values)
    freedom = len(values) - 1
    if not freedom:
        return Estimate(mean, None, 1)
    quantile = _STUDENT_T[min(freedom, len(_STUDENT_T)) - 1]
    half_width = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(mean, half_width, len(values))
