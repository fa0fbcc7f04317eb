"""Which faults are done, to whom: drawn from the seed alone."""

from __future__ import annotations

import pytest

from metarec_stream.chaos.load import events_of
from metarec_stream.chaos.plan import plan_of
from metarec_stream.chaos.registry import FAULTS
from metarec_stream.chaos.trial import Scale
from metarec_stream.crash_points import CRASH_POINTS
from metarec_stream.settings_sources import BadConfiguration


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    """Victims, passes and events are a function of the seed."""
    plan = plan_of(FAULTS, ["all"], 3, 7)
    assert plan == plan_of(FAULTS, ["all"], 3, 7)
    assert plan != plan_of(FAULTS, ["all"], 3, 8)
    assert events_of(50, plan[0].seed) == events_of(50, plan[0].seed)
    assert events_of(50, plan[0].seed) != events_of(50, plan[1].seed)


def test_a_fault_is_drawn_alike_whichever_others_are_chosen() -> None:
    """So one row of the matrix can be done again by itself."""
    by_name = {planned.fault: planned for planned in plan_of(FAULTS, ["all"], 3, 7)}
    assert plan_of(FAULTS, ["zombie", "kill"], 3, 7) == [by_name["zombie"], by_name["kill"]]


def test_all_has_every_fault_once_and_short_no_one_that_takes_minutes() -> None:
    """Those can be named beside it."""
    names = [planned.fault for planned in plan_of(FAULTS, ["short", "kill", "broker-away"], 3, 7)]
    assert len(set(names)) == len(names)
    assert set(FAULTS) - set(names) == {"repeated-kills", "rolling-restart"}
    assert names[-1] == "broker-away"
    assert [planned.fault for planned in plan_of(FAULTS, ["all"], 3, 7)] == list(FAULTS)


def test_every_crash_point_has_a_fault_and_a_pass_in_its_range() -> None:
    """A crash point that is added needs a fault, too."""
    assert {name for name in FAULTS if name.startswith("crash-")} == {
        f"crash-{point}" for point in CRASH_POINTS
    }
    for seed in range(20):
        for planned in plan_of(FAULTS, ["all"], 3, seed):
            fault = FAULTS[planned.fault]
            point, _, number = planned.crash_at.partition(":")
            assert point == fault.crash_point
            if number:
                assert fault.passes[0] <= int(number) <= fault.passes[1]
            assert 1 <= planned.victim <= 3


def test_a_name_that_is_no_fault_is_named_with_those_that_are() -> None:
    """The message is all that an operator needs."""
    with pytest.raises(BadConfiguration, match=r"kil: no such fault.*zombie"):
        plan_of(FAULTS, ["kill", "kil"], 3, 7)


def test_a_long_fault_gets_more_events_at_the_same_rate() -> None:
    """Load has to last as long as the fault does."""
    scale = Scale(events=1_000, seconds=10.0, consumers=3, learners=1)
    assert scale.of(FAULTS["kill"]) == scale
    longer = scale.of(FAULTS["repeated-kills"])
    assert (longer.events, longer.seconds) == (12_000, 120.0)
