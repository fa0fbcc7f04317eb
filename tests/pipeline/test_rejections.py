"""What a user turns down falls in their list, and is nobody's outcome."""

from __future__ import annotations

import pytest

from metarec_stream.config import Settings
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.task_codec import decode_task_block
from metarec_stream.contract.transport import Output
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.pipeline.settings import EventsSettings
from metarec_stream.state.settings import StateSettings
from tests.stream import lists_of, recommender, records

SETTINGS = Settings(
    emit="per_event",
    state=StateSettings(ring=12),
    learn=LearnSettings(strongest=6, random=4),
    events=EventsSettings(weights={"hate": -2.0}),
)
OTHERS = [("bob", item, "click") for item in "abcdef" * 2]


def outputs_of(events: list[tuple[str, str, str]]) -> list[Output]:
    """What is sent for events of user, item and type, a second apart."""
    stream = [
        Interaction(user=user, item=item, type=kind, ts=1_700_000_000_000 + 1_000 * number)
        for number, (user, item, kind) in enumerate(events)
    ]
    return list(recommender(SETTINGS).process(records(stream)).outputs)


def scores_after(*events: tuple[str, str]) -> dict[str, float]:
    """The scores in ann's newest list after events of hers among those of others."""
    made = [("ann", item, kind) for item, kind in events]
    newest = lists_of(outputs_of([*OTHERS, *made]), SETTINGS)[-1]
    return {each.item: each.score for each in newest.items}


def place(scores: dict[str, float], item: str) -> int:
    """From the top."""
    return list(scores).index(item)


def test_an_item_that_was_wanted_and_then_turned_down_falls_to_the_end() -> None:
    """The user's own newest item is near the top of the list; cancelled, it is the last one."""
    wanted = scores_after(("a", "click"), ("b", "click"))
    cancelled = scores_after(("a", "click"), ("b", "click"), ("b", "cancel"))
    assert place(wanted, "b") <= 1
    assert place(cancelled, "b") == len(cancelled) - 1


def test_an_item_that_was_never_wanted_falls_too_and_further_by_weight() -> None:
    """A dislike takes the weight's share of the score, a type of twice the weight twice that."""
    before = scores_after(("a", "click"), ("c", "impression"))
    disliked = scores_after(("a", "click"), ("c", "dislike"))
    hated = scores_after(("a", "click"), ("c", "hate"))
    assert abs(before["c"] - disliked["c"] - 6.0) < 1e-3
    assert abs(before["c"] - hated["c"] - 12.0) < 1e-3
    assert abs(before["d"] - disliked["d"]) < 1e-3


def test_wanting_it_again_takes_the_rejection_back() -> None:
    """Only the newest event on the item counts, also one between that has no weight."""
    again = scores_after(("b", "dislike"), ("b", "click"), ("b", "impression"))
    never = scores_after(("b", "impression"), ("b", "click"), ("b", "impression"))
    assert again == pytest.approx(never, abs=0.01)


def test_what_is_turned_down_is_no_outcome_and_its_fall_is_in_the_tasks() -> None:
    """No task of a dislike; in the next task the item carries what it lost in its log q."""
    events = [*OTHERS, ("ann", "a", "click"), ("ann", "c", "dislike"), ("ann", "d", "click")]
    sent = [each for each in outputs_of(events) if each.topic == SETTINGS.topics.tasks]
    (block,) = [decode_task_block(each.value) for each in sent]
    assert len(OTHERS) + 1 not in block.offsets.tolist()
    assert (block.weights > 0).all()
    names = [block.items[item] for item in block.candidates[-1] if item >= 0]
    lost = dict(zip(names, block.log_q[-1].tolist(), strict=False))
    assert lost["c"] < lost["b"] - 5.9
