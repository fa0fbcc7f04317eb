"""Verification's own state is the pipeline's, whatever is in the log."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metarec_stream.config import Settings
from metarec_stream.contract.interaction import ERASE, Interaction
from metarec_stream.contract.transport import Record
from metarec_stream.memory.log import MemoryLog
from metarec_stream.pipeline.hard_state import HardState
from metarec_stream.pipeline.settings import EventsSettings, GuardSettings
from metarec_stream.state.header import HEADER_KEY
from metarec_stream.state.settings import StateSettings
from metarec_stream.state.users import Users
from metarec_stream.verify import expected_state
from metarec_stream.verify.acceptance import IDS_PER_SEGMENT, Acceptance, Fate
from metarec_stream.verify.expected_state import ExpectedUser, ExpectedUsers, encoded_row
from metarec_stream.verify.verification import hash_of
from tests.pipeline.process import pure_state
from tests.verify.service import NOW, SETTINGS, Event, post

DAY_MS = 86_400_000

times = st.one_of(
    st.sampled_from([NOW, NOW - 60_000, NOW - 60_001, NOW + 300_000, NOW + 300_001, NOW + 240_000]),
    st.integers(NOW - 90_000, NOW),  # some behind the lateness of a minute
    st.integers(NOW, NOW + 400_000),  # some ahead of the skew of five
    st.none(),
)
interactions = st.builds(
    Interaction,
    user=st.sampled_from(["a", "b", "c", "é"]),
    item=st.sampled_from("xyz"),
    type=st.sampled_from(["click", "purchase", "skip", "impression", "unknown"]),
    ts=times,
    value=st.none() | st.sampled_from([2.5, 0.0, -1.0]),
    event_id=st.none() | st.sampled_from("1234567"),
    context=st.none() | st.dictionaries(st.sampled_from("pq"), st.integers(0, 2), max_size=2),
)
erasures = st.builds(
    Interaction, user=st.sampled_from(["a", "b"]), item=st.just(""), type=st.just(ERASE), ts=times
)
logs = st.lists(interactions | erasures | st.sampled_from([b"{", b"x" * 500, None]), max_size=60)


def worked_out(records: list[Record], settings: Settings = SETTINGS) -> dict[bytes, bytes]:
    """The state as verification has it, as `tests.pipeline.process.Process.state` shows it."""
    acceptance, users = Acceptance(settings), ExpectedUsers(settings)
    for record in records:
        watermark = acceptance.watermark
        outcome = acceptance.decide(record)
        if outcome.fate is Fate.ACCEPTED and outcome.interaction is not None:
            users.expire(watermark, acceptance.watermark)
            users.apply(outcome.interaction, outcome.time, record.offset)
        if outcome.fate is Fate.ERASED and outcome.interaction is not None:
            users.erase(outcome.interaction.user)
    counted = (acceptance.accepted, acceptance.rejected, acceptance.duplicates)
    ids = acceptance.ids
    said = repr((*counted, acceptance.watermark, ids.first, ids.next))
    rows = {b"u" + name.encode(): row for name, _, row in users.rows()}
    return {**rows, **ids.rows(), HEADER_KEY: said.encode()}


def both(events: list[Event]) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """The state of these events by verification, and by the pipeline."""
    log = MemoryLog()
    post(log, events)
    records: list[Record] = list(log.read(SETTINGS.topics.interactions, 0, 0))
    return worked_out(records), pure_state(log, SETTINGS, 0, len(events))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(logs)
def test_it_is_the_pipelines_for_any_events(events: list[Event]) -> None:
    """Late, future, duplicate, unreadable, out of order: rows, segments and counts are equal."""
    ours, theirs = both(events)
    assert ours == theirs


@pytest.mark.parametrize(("late_ms", "users"), [(0, [b"ua", b"ub"]), (1, [b"ub"])])
def test_it_forgets_users_at_the_pipelines_millisecond(late_ms: int, users: list[bytes]) -> None:
    """Time is cut into sixteenths of the minute that they live."""
    begin = NOW // 3_750 * 3_750
    times = ((begin - late_ms, "a"), (begin + 60_000, "b"))
    ours, theirs = both([Interaction(user=user, item="x", ts=ts) for ts, user in times])
    assert ours == theirs
    assert [key for key in ours if key[:1] == b"u"] == users


def test_it_is_the_pipelines_over_several_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids beyond one segment, most of them forgotten, and users that were packed in between."""
    monkeypatch.setattr(expected_state, "MOST_UNPACKED", 3)
    events: list[Event] = [
        Interaction(
            user=f"u{number % 9}", item="x", ts=NOW + number, event_id=str(number * 7 % 5_001)
        )
        for number in range(IDS_PER_SEGMENT + 700)
    ]
    ours, theirs = both(events)
    assert ours == theirs
    assert [key for key in ours if key[:1] == b"g"] == [b"g1"]


def test_gaps_over_49_days_are_wide() -> None:
    """One such gap makes all of the row's gaps 64 bits."""
    entry = ("x", "click", float("nan"), 0, 0)
    user = ExpectedUser([(NOW, *entry), (NOW - 1, *entry), (NOW - 60 * DAY_MS, *entry)], 3, 3, 3, 0)
    fields = msgspec.msgpack.decode(encoded_row(user))
    assert struct.unpack("<2Q", fields[9]) == (1, 60 * DAY_MS - 1)


@pytest.mark.parametrize(
    "changed",
    [
        SETTINGS,
        SETTINGS.model_copy(update={"state": StateSettings(ring=5, ttl_s=60.0)}),
        SETTINGS.model_copy(update={"state": StateSettings(ring=4)}),
        SETTINGS.model_copy(update={"state": StateSettings(ring=4, ttl_s=61.0)}),
        SETTINGS.model_copy(update={"guard": GuardSettings(event_ids=6)}),
        SETTINGS.model_copy(update={"events": EventsSettings(weights={"view": 0.0})}),
    ],
)
def test_the_hash_of_the_settings_is_the_services(changed: Settings) -> None:
    """The service's own, and another for whatever the state depends on."""
    service = HardState(changed, Users(4), lambda kept, gone: None)
    assert hash_of(changed) == service.settings_hash
    assert (hash_of(changed) == hash_of(SETTINGS)) == (changed is SETTINGS)


@pytest.mark.parametrize(
    ("after", "fate"),
    [(-60_001, Fate.REJECTED), (-60_000, Fate.ACCEPTED), (300_000, Fate.ACCEPTED),
     (300_001, Fate.REJECTED)],
)  # fmt: skip
def test_what_is_just_within_the_bounds_is_accepted(after: int, fate: Fate) -> None:
    """`late` and `future` begin one millisecond beyond lateness and skew."""
    log = MemoryLog()
    post(log, [Interaction(user="a", item="x", ts=ts) for ts in (NOW, NOW + after)])
    acceptance = Acceptance(SETTINGS)
    records = log.read(SETTINGS.topics.interactions, 0, 0)
    assert [acceptance.decide(record).fate for record in records] == [Fate.ACCEPTED, fate]
