"""How far the probabilities that a model gives its list are from what then happens.

Each place of a list is a statement: the next interaction is on this item, with this probability.
What is measured is the statement of the first place alone, and those of the first ten together.

Letters: m events, k list, b bins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 10
_LEAST = 1e-7
"""A probability is taken as at least this, and at most 1 - this, for its log loss."""

Calibration = dict[str, object]


def calibration(
    probability: NDArray[np.float32], lists: NDArray[np.int32], targets: NDArray[np.int32]
) -> dict[str, Calibration]:
    """The measured error of probabilities [m, k] of lists [m, k] of items whose targets are [m].

    By `top` and `first_10`, as in `measured`; padding (-1) states nothing.
    """
    hit = lists == targets[:, None]
    found = {}
    for name, places in (("top", 1), ("first_10", 10)):
        stated = lists[:, :places] >= 0
        found[name] = measured(probability[:, :places][stated], hit[:, :places][stated])
    return found


def measured(probability: NDArray[np.float32], hit: NDArray[np.bool_]) -> Calibration:
    """Of statements [n] and whether they came true; without any, None for each measure.

    `expected_calibration_error`: mean over bins of as many statements each, of the difference
    between mean probability and hit rate (Naeini et al. 2015; equal bins: Nguyen & O'Connor 2015).
    `brier`: mean squared difference (Brier 1950). `log_loss`: mean -log of the probability given to
    what happened, natural. `reliability`: the bins, by ascending probability.
    """
    if not len(probability):
        nothing = ("expected_calibration_error", "brier", "log_loss", "mean_probability")
        return {**dict.fromkeys((*nothing, "hit_rate")), "statements": 0, "reliability": []}
    stated, came = probability.astype(np.float64), hit.astype(np.float64)
    bins = _reliability(stated, came)
    apart = [abs(each["mean_probability"] - each["hit_rate"]) for each in bins]
    counts = [each["statements"] for each in bins]
    cut = np.clip(stated, _LEAST, 1 - _LEAST)
    return {
        "expected_calibration_error": float(np.average(apart, weights=counts)),
        "brier": float(np.mean((stated - came) ** 2)),
        "log_loss": float(-np.mean(np.where(hit, np.log(cut), np.log1p(-cut)))),
        "mean_probability": float(stated.mean()),
        "hit_rate": float(came.mean()),
        "statements": len(stated),
        "reliability": bins,
    }


def _reliability(
    stated: NDArray[np.float64], came: NDArray[np.float64]
) -> list[dict[str, float | int]]:
    """The bins, as equal as they can be: at most BINS, none empty."""
    order = np.argsort(stated, kind="stable")
    return [
        {
            "mean_probability": float(stated[part].mean()),
            "hit_rate": float(came[part].mean()),
            "statements": len(part),
        }
        for part in np.array_split(order, min(BINS, len(order)))
    ]
