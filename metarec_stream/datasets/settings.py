"""Settings of the stream that is made up, for `produce synthetic` and `evaluate synthetic`."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from metarec_stream.section import Section


class SyntheticSettings(Section):
    """The synthetic stream: users with known tastes, which change at known times."""

    events: int = Field(100_000, ge=1, le=100_000_000)
    """Events of the stream."""
    users: int = Field(2_000, ge=1, le=10_000_000)
    """Users at its beginning."""
    items: int = Field(2_000, ge=2, le=10_000_000)
    """Items at its beginning."""
    new_users: float = Field(0.05, ge=0, le=1)
    """Share of the events that are the first one of a new user."""
    new_items: float = Field(0.01, ge=0, le=1)
    """New items an event; each can be chosen from then on."""
    tastes: int = Field(10, ge=2, le=10_000)
    """Groups of items; at any time a user has one of them as their taste."""
    focus: float = Field(0.8, ge=0, le=1)
    """Share of a user's events on items of their taste; the others are on items of any group."""
    change_at: tuple[int, ...] = (75_000,)
    """Events before each change of taste, ascending, or one number for one change; at each, every
    user moves to another group."""
    repeats: float = Field(0.3, ge=0, le=1)
    """Share of repeats among a user's events, once there is something to repeat; at 0 every event
    is on an item new to the user, until hardly anybody has one left in the group."""
    popularity: float = Field(0.8, ge=0, le=3)
    """Items of a group are chosen in proportion to 1 / rank ** popularity; 0: all alike."""
    activity: float = Field(0.5, ge=0, le=3)
    """Users act in proportion to 1 / rank ** activity; 0: all alike."""
    gap_s: float = Field(10.0, gt=0, le=86_400)
    """Mean seconds between two events."""

    @field_validator("change_at", mode="before")
    @classmethod
    def _one_or_more(cls, given: object) -> object:
        return (given,) if isinstance(given, int) else given

    @field_validator("change_at")
    @classmethod
    def _ascending(cls, rows: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= row for row, later in zip((0, *rows), rows, strict=False)):
            raise ValueError("numbers of events above 0, each larger than the one before")
        return rows

    @model_validator(mode="after")
    def _every_taste_has_items(self) -> SyntheticSettings:
        if self.items < self.tastes:
            raise ValueError(f"items ({self.items}) must be at least tastes ({self.tastes})")
        return self
