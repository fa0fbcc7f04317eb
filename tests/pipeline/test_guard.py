"""What is accepted: times, the watermark, and the window in which duplicates are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.contract.interaction import Interaction
from metarec_stream.errors import Rejected
from metarec_stream.pipeline.guard import NO_WATERMARK, Guard
from metarec_stream.pipeline.settings import GuardSettings

NOW = 1_700_000_000_000
SETTINGS = GuardSettings(skew_s=0.01, lateness_s=0.02, event_ids=3)
"""10 ms ahead, 20 ms behind, 3 ids: small enough to be reached by a test's events."""


def event(ts: int, event_id: str | None = None, user: str = "u") -> Interaction:
    """An interaction at a time."""
    return Interaction(user=user, item="i", ts=ts, event_id=event_id)


def outcome(guard: Guard, interaction: Interaction, timestamp: int) -> str:
    """What the guard says, in one word."""
    try:
        return "accepted" if guard.admit(interaction, timestamp) else "duplicate"
    except Rejected as rejected:
        return rejected.reason.value


def test_an_event_ahead_of_its_record_is_future() -> None:
    """Up to the skew is accepted; beyond it is rejected, counted, and moves nothing."""
    guard = Guard(SETTINGS)
    assert outcome(guard, event(NOW + 10), NOW) == "accepted"
    assert outcome(guard, event(NOW + 11), NOW) == "future"
    assert (guard.watermark, guard.accepted, guard.rejected) == (NOW + 10, 1, 1)


def test_a_record_without_a_timestamp_is_never_future() -> None:
    """Where the record's time is unknown there is nothing to compare with."""
    assert outcome(Guard(SETTINGS), event(NOW), -1) == "accepted"


def test_an_event_behind_the_watermark_is_late() -> None:
    """Up to the lateness is accepted and leaves the watermark; beyond it is rejected."""
    guard = Guard(SETTINGS)
    assert outcome(guard, event(NOW), NOW) == "accepted"
    assert outcome(guard, event(NOW - 20), NOW) == "accepted"
    assert outcome(guard, event(NOW - 21), NOW) == "late"
    assert (guard.watermark, guard.accepted, guard.rejected) == (NOW, 2, 1)


def test_the_first_event_is_never_late() -> None:
    """Without a watermark even the epoch is in time."""
    guard = Guard(GuardSettings(lateness_s=0))
    assert guard.watermark == NO_WATERMARK
    assert outcome(guard, event(0), NOW) == "accepted"
    assert guard.watermark == 0


def test_the_detail_says_how_far_off() -> None:
    """The dead letter says by how much, and against what."""
    guard = Guard(SETTINGS)
    with pytest.raises(Rejected, match=f"future: ts: {NOW + 11} is 11 ms after .* {NOW}"):
        guard.admit(event(NOW + 11), NOW)
    guard.admit(event(NOW), NOW)
    with pytest.raises(Rejected, match=f"late: ts: {NOW - 21} is 21 ms before .* {NOW}"):
        guard.admit(event(NOW - 21), NOW)


def test_an_absent_time_is_the_records() -> None:
    """An interaction that was not decoded from a record may leave its time to it."""
    guard = Guard(SETTINGS)
    assert guard.admit(Interaction(user="u", item="i"), NOW)
    assert guard.watermark == NOW


def test_an_event_id_is_applied_once() -> None:
    """The second is a duplicate, whatever its time says, and does not move the watermark."""
    guard = Guard(SETTINGS)
    assert outcome(guard, event(NOW, "a"), NOW) == "accepted"
    assert outcome(guard, event(NOW + 5, "a"), NOW) == "duplicate"
    assert (guard.watermark, guard.accepted, guard.duplicates) == (NOW, 1, 1)


def test_an_event_id_belongs_to_its_user() -> None:
    """Two users may have the same id, and no joining of user and id looks like another."""
    guard = Guard(SETTINGS)
    assert outcome(guard, event(NOW, "1", user="u"), NOW) == "accepted"
    assert outcome(guard, event(NOW, "1", user="v"), NOW) == "accepted"
    assert outcome(guard, event(NOW, "", user="u1"), NOW) == "accepted"


def test_an_event_without_id_is_never_a_duplicate() -> None:
    """The same event twice is two events if nothing says otherwise."""
    guard = Guard(SETTINGS)
    for _ in range(3):
        assert outcome(guard, event(NOW), NOW) == "accepted"


def test_a_rejected_event_is_not_remembered() -> None:
    """A sender that corrects the time of a rejected event is heard."""
    guard = Guard(SETTINGS)
    assert outcome(guard, event(NOW + 99, "a"), NOW) == "future"
    assert outcome(guard, event(NOW, "a"), NOW) == "accepted"


def test_event_ids_expire_as_the_watermark_moves() -> None:
    """Known while at most the lateness behind the watermark, accepted again beyond."""
    guard = Guard(SETTINGS)
    guard.admit(event(NOW, "a"), NOW)
    guard.admit(event(NOW + 20), NOW + 20)
    assert outcome(guard, event(NOW + 20, "a"), NOW + 20) == "duplicate"
    guard.admit(event(NOW + 21), NOW + 21)
    assert outcome(guard, event(NOW + 21, "a"), NOW + 21) == "accepted"
    assert outcome(guard, event(NOW + 21, "a"), NOW + 21) == "duplicate"


def test_an_expired_id_behind_a_newer_one_is_forgotten_too() -> None:
    """The order in which ids came does not prolong the window of an old event."""
    guard = Guard(SETTINGS)
    guard.admit(event(NOW, "new"), NOW)
    guard.admit(event(NOW - 20, "old"), NOW)
    guard.admit(event(NOW + 1), NOW + 1)
    assert outcome(guard, event(NOW + 1, "new"), NOW + 1) == "duplicate"
    assert outcome(guard, event(NOW + 1, "old"), NOW + 1) == "accepted"


def test_event_ids_are_bounded_by_count() -> None:
    """Three are kept: a fourth forgets the first."""
    guard = Guard(SETTINGS)
    for name in "abcd":
        guard.admit(event(NOW, name), NOW)
    assert [outcome(guard, event(NOW, name), NOW) for name in "bcd"] == ["duplicate"] * 3
    assert outcome(guard, event(NOW, "a"), NOW) == "accepted"


def test_an_id_accepted_again_counts_as_the_newest() -> None:
    """An id that came anew after its window is not forgotten in the order of its first coming."""
    guard = Guard(SETTINGS)
    for ts, name in ((NOW, "first"), (NOW - 20, "old"), (NOW, "x")):
        guard.admit(event(ts, name), NOW)
    guard.admit(event(NOW + 1), NOW + 1)
    assert outcome(guard, event(NOW + 1, "old"), NOW + 1) == "accepted"
    for name in "yz":
        guard.admit(event(NOW + 1, name), NOW + 1)
    assert outcome(guard, event(NOW + 1, "old"), NOW + 1) == "duplicate"
    assert outcome(guard, event(NOW + 1, "x"), NOW + 1) == "accepted"


def test_no_event_ids_can_be_remembered() -> None:
    """With the bound at 0 duplicates are left to the rings."""
    guard = Guard(GuardSettings(event_ids=0))
    assert [outcome(guard, event(NOW, "a"), NOW) for _ in range(2)] == ["accepted"] * 2


class Oracle:
    """The docstring of Guard, said again with lists and no thought for speed."""

    def __init__(self) -> None:
        self.watermark = -1
        self.remembered: list[tuple[str, str, int]] = []

    def outcome(self, interaction: Interaction, timestamp: int) -> str:
        """What should be said of the next event."""
        ts = interaction.ts
        assert ts is not None
        if timestamp >= 0 and ts > timestamp + 10:
            return "future"
        if ts < self.watermark - 20:
            return "late"
        if interaction.event_id is not None:
            name = (interaction.user, interaction.event_id)
            for user, event_id, first in self.remembered[-3:]:
                if (user, event_id) == name and first >= self.watermark - 20:
                    return "duplicate"
            self.remembered = [seen for seen in self.remembered if seen[:2] != name]
            self.remembered.append((*name, ts))
        self.watermark = max(self.watermark, ts)
        return "accepted"


sequences = st.lists(
    st.tuples(
        st.builds(
            event,
            ts=st.integers(0, 120),
            event_id=st.none() | st.sampled_from("abcde"),
            user=st.sampled_from("uv"),
        ),
        st.just(-1) | st.integers(0, 120),
    ),
    max_size=60,
)


@given(sequence=sequences)
def test_the_guard_is_the_function_of_the_sequence_that_it_says(
    sequence: list[tuple[Interaction, int]],
) -> None:
    """Outcomes, watermark and counters follow from the events in order and from nothing else."""
    guard, oracle = Guard(SETTINGS), Oracle()
    outcomes = [outcome(guard, *step) for step in sequence]
    assert outcomes == [oracle.outcome(*step) for step in sequence]
    assert guard.watermark == oracle.watermark
    assert guard.accepted == outcomes.count("accepted")
    assert guard.duplicates == outcomes.count("duplicate")
    assert guard.rejected == outcomes.count("future") + outcomes.count("late")
