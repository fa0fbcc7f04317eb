"""Settings that cannot work are refused before anything starts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from metarec_stream.config import Settings


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        ("kafka", {"heartbeat_interval_ms": 6_000}, "heartbeat_interval_ms"),
        ("topics", {"recommendations": "interactions"}, "name of its own"),
        ("topics", {"items": "bad name!"}, "no topic name"),
        ("gate", {"minimum": 4_096}, "nothing is ever published"),
        ("state", {"ttl_s": 86_400.0}, "must be at least guard.lateness_s"),
        ("events", {"weights": {"click": float("inf")}}, "weights"),
        ("events", {"weights": {"click": float("nan")}}, "weights"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    section: str, values: dict[str, Any], named: str
) -> None:
    """The message names what is wrong."""
    with pytest.raises(ValidationError, match=named):
        Settings.model_validate({section: values})


def test_a_seed_that_does_not_fit_64_bits_is_refused() -> None:
    """It would end the first batch."""
    with pytest.raises(ValidationError, match="seed"):
        Settings(seed=2**64)
