"""Settings of the way from a record to a recommendation."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from metarec_stream.contract.interaction import DEFAULT_TYPES, ERASE
from metarec_stream.section import Section

ValueWeight = Literal["none", "linear", "log"]
Emit = Literal["per_user", "per_event"]


class BatchSettings(Section):
    """How much is taken from the input at once."""

    max_records: int = Field(1_000, ge=1, le=100_000)
    """Most records of a batch, hence of a transaction."""
    poll_ms: int = Field(50, ge=1, le=10_000)
    """Longest wait for the first record of a batch."""


class GuardSettings(Section):
    """What is accepted."""

    skew_s: float = Field(300.0, ge=0, allow_inf_nan=False)
    """An event time further ahead of its record's timestamp is rejected: `future`."""
    lateness_s: float = Field(7 * 86_400.0, ge=0, allow_inf_nan=False)
    """An event time further behind the partition's newest is rejected: `late`."""
    event_ids: int = Field(200_000, ge=0)
    """Most event ids remembered for a partition, to know duplicates."""
    max_value_bytes: int = Field(65_536, ge=64)
    """A larger interaction is rejected: `too-large`."""
    max_id_bytes: int = Field(256, ge=1, le=4_096)
    """A user, item or event id of more UTF-8 bytes is rejected: `invalid`."""


class EventsSettings(Section):
    """What the interaction types mean."""

    weights: dict[str, float] = Field(default_factory=dict)
    """Weights by type, added to the built-in ones (or replacing them): above 0 the user wanted
    the item; 0 or less is kept in the state and not learned as an outcome. Below 0 the user turned
    the item down: until their next event on it, it falls in their list, the further the lower the
    weight, and what they did with it before does not count."""
    value_weights: dict[str, ValueWeight] = Field(default_factory=dict)
    """How the `value` of an interaction multiplies its type's weight as an outcome: `none`,
    `linear`, or `log` (logarithm of 1 + value). Without a value it does not; with one below 0 the
    event is no outcome."""
    max_weight: float = Field(100.0, gt=0, le=1e6)
    """Largest weight of an event as an outcome."""

    @field_validator("weights")
    @classmethod
    def _names(cls, weights: dict[str, float]) -> dict[str, float]:
        if ERASE in weights:
            raise ValueError("`erase` is a control type and has no weight")
        if len(weights) + len(DEFAULT_TYPES) > 120:
            raise ValueError("at most 120 types")
        if not all(abs(weight) <= 1e6 for weight in weights.values()):
            raise ValueError("weights must be numbers between -1e6 and 1e6")
        return weights

    @model_validator(mode="after")
    def _known_types(self) -> Self:
        unknown = sorted(set(self.value_weights) - set(self.table()))
        if unknown:
            raise ValueError(f"value_weights names types without a weight: {', '.join(unknown)}")
        return self

    def table(self) -> dict[str, float]:
        """All types with their weights, in a fixed order."""
        return {**DEFAULT_TYPES, **dict(sorted(self.weights.items()))}


class RankSettings(Section):
    """The list that is recommended."""

    top_k: int = Field(10, ge=1, le=1_000)
    """Items of a list."""


class OutputSettings(Section):
    """How outputs are written."""

    format: Literal["msgpack", "json"] = "msgpack"
    """Encoding of recommendations."""
    latest: bool = False
    """Whether the recommendations topic, when created, is compacted: the newest list per user."""
