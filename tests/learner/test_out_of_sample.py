"""How far parts are believed is learned from events that nothing has learned from."""

from __future__ import annotations

import numpy as np
import pytest

from metarec_stream.learner.events import TaskEvents
from metarec_stream.learner.inputs import PrefixChoice
from metarec_stream.learner.leader import Leader
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.replica import Losses
from metarec_stream.learner.start import built_in_version
from tests.learner.planted import planted_block, quick_settings

SETTINGS = quick_settings()


def test_events_are_unlearned_in_the_first_step_on_their_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not in the ones after it, nor when they are replayed."""
    told: list[TaskEvents] = []
    step = Leader.step

    def noted(
        leader: Leader, events: TaskEvents, choice: PrefixChoice | None = None
    ) -> Losses | None:
        told.append(events)
        return step(leader, events, choice)

    monkeypatch.setattr(Leader, "step", noted)
    one = Learner(SETTINGS, built_in_version(SETTINGS))
    for number in range(20):
        one.take(planted_block(number), number + 1)
    fresh = [np.flatnonzero(events.unlearned) for events in told]
    steps, block = SETTINGS.learn.steps, SETTINGS.learn.block
    assert steps > 1
    assert len(told) >= 2 * steps
    for number, unlearned in enumerate(fresh):
        expected = block if number % steps == 0 else 0
        assert unlearned.tolist() == list(range(expected))
    assert len(told[-1]) > block, "nothing was replayed: half of this is not tested"
