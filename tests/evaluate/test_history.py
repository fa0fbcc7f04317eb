"""A warm start from past events: what it learns, and that nothing of it hangs on the replay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.evaluate.admission import posted
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.history import learn_history
from metarec_stream.evaluate.replay import Replay
from metarec_stream.learner.settings import GateSettings, LearnSettings
from metarec_stream.pipeline.recommender import RankProtocol
from tests.evaluate.streams import planted_table

SMALL = Settings(
    learn=LearnSettings(block=64, device="cpu", table_rate=0.05),
    gate=GateSettings(window=128, minimum=64),
    value_sum=ValueSumSettings(dimensions=8, time_scales=2, window=8),
)
PAST, LATER = 960, 128


def first_rows(table: EventTable, count: int) -> EventTable:
    """The beginning of a table."""
    return replace(table, user=table.user[:count], item=table.item[:count], ts=table.ts[:count])


def reciprocal_rank_afterwards(table: EventTable, version: MetaVersion | None) -> float:
    """Of the rows after the past, by a consumer that has met none before, under a version."""
    gate = GateSettings(window=2_048, minimum=2_048)
    replay = Replay(SMALL.model_copy(update={"gate": gate}), RankProtocol())
    replay.recommender.announce(sorted(set(table.item)))
    if version is not None:
        replay.recommender.swap(replay.recommender.prepare(version))
    topic = SMALL.topics.interactions
    rows = range(PAST, PAST + LATER)
    found = replay.step([(posted(table, row, topic), int(table.ts[row])) for row in rows])
    assert len(found.observations) == LATER
    places = found.observations.greater + (found.observations.equal + 1) / 2
    return float(np.mean(1 / places))


def test_users_are_served_better_from_the_first_event_on() -> None:
    """A fresh consumer, with no history of any user, ranks better under the version."""
    table = planted_table(PAST + LATER, seed=1)
    done: list[int] = []
    version = learn_history(first_rows(table, PAST), SMALL, 1_234, done.append)
    assert version is not None
    assert (version.version, version.parent, version.created_ms) == (1, 0, 1_234)
    assert version.task_offsets == {}
    assert set(version.items) <= set(table.item[:PAST])
    assert len(version.items) == 60
    assert done == [*range(64, PAST + 1, 64)]
    warm, cold = (reciprocal_rank_afterwards(table, each) for each in (version, None))
    assert warm > 1.2 * cold


def test_too_short_a_history_gives_no_version() -> None:
    """The gate has nothing to compare on; the last, smaller block is told too."""
    done: list[int] = []
    assert learn_history(planted_table(70, seed=1), SMALL, 0, done.append) is None
    assert done == [64, 70]


def test_the_same_history_gives_the_same_version() -> None:
    """To the last digit."""
    table = planted_table(512, seed=2)
    first, again = (learn_history(table, SMALL, 0, lambda _done: None) for _ in range(2))
    assert first is not None
    assert again is not None
    assert first.items == again.items
    for name, array in first.parameters.items():
        np.testing.assert_array_equal(array, again.parameters[name])
