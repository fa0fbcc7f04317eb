"""What an event weighs as an outcome: by type, by value, within bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from metarec_stream.pipeline.event_weights import EventWeights
from metarec_stream.pipeline.settings import EventsSettings


def weights(settings: EventsSettings, kind: str, values: list[float]) -> list[float]:
    """Of events of one type with these values."""
    number = list(settings.table()).index(kind)
    kinds = np.full(len(values), number, np.int8)
    return [float(weight) for weight in EventWeights(settings).of(kinds, np.array(values))]


def test_values_multiply_the_weight_of_types_that_say_so() -> None:
    """Linear or by logarithm; without a value the type's weight alone counts."""
    settings = EventsSettings(
        weights={"purchase": 3.0}, value_weights={"purchase": "log", "rating": "linear"}
    )
    values = [math.nan, 0.0, 4.0]
    assert weights(settings, "purchase", values) == pytest.approx([3.0, 0.0, 3.0 * math.log(5)])
    assert weights(settings, "rating", values) == pytest.approx([1.0, 0.0, 4.0])
    assert weights(settings, "click", values) == [1.0, 1.0, 1.0]


def test_weights_are_bounded_and_what_is_turned_down_is_no_outcome() -> None:
    """Never above the largest weight, never below 0, whatever the value."""
    settings = EventsSettings(
        value_weights={"purchase": "linear", "cancel": "linear"}, max_weight=5.0
    )
    assert weights(settings, "purchase", [7.0, math.inf, -3.0]) == [5.0, 5.0, 0.0]
    assert weights(settings, "cancel", [7.0, -3.0, math.nan]) == [0.0, 0.0, 0.0]


def test_a_value_weight_of_an_unknown_type_is_refused() -> None:
    """A misspelt type would otherwise weigh nothing, unnoticed."""
    with pytest.raises(ValidationError, match="purchse"):
        EventsSettings(value_weights={"purchse": "log"})
