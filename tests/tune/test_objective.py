"""The objective: the MRR of `metarec evaluate` on an interval, and nothing after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from metarec_stream.config import Settings
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.models import Evaluation, evaluate_models
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.settings_sources import BadConfiguration
from metarec_stream.tune.objective import Pruned, Watch, objective_until
from tests.evaluate.streams import planted_table, table_of
from tests.tune.searches import SMALL, small_objective

SILENT = Watch(lambda _done: None, lambda _number, _mrr: None)


def with_tail(table: EventTable, kept: int) -> EventTable:
    """The table with other items after the first rows."""
    return replace(table, item=[*table.item[:kept], *("other" for _ in table.item[kept:])])


def test_it_is_the_mrr_of_evaluate_and_later_rows_change_nothing() -> None:
    """To the last digit; a settings file that evaluate is given has the same effect."""
    table = planted_table(400, seed=1)
    cut = replace(table, user=table.user[:200], item=table.item[:200], ts=table.ts[:200])
    protocol = Protocol(score_from=0.2)
    changed = SMALL.model_copy(update={"learn": SMALL.learn.model_copy(update={"steps": 4})})
    result: Any = evaluate_models(
        Evaluation(cut, protocol, changed, 32), ["default"], lambda *_: None
    )
    for whole in (table, with_tail(table, 200)):
        objective = objective_until(0.5, whole, Protocol(score_from=0.1), SMALL, 32)
        found = objective.mrr({"learn.steps": 4}, SILENT)
        assert found == result["models"]["default"]["mrr"]
    assert small_objective().mrr({"learn.steps": 4}, SILENT) != small_objective().mrr({}, SILENT)


def test_the_mrr_so_far_is_told_by_segments_of_the_scored_interval() -> None:
    """Nothing before scoring begins, nothing at the end; each is the mean up to there."""
    objective = small_objective()
    told: list[tuple[int, float]] = []
    done: list[int] = []
    watch = Watch(done.append, lambda number, mrr: told.append((number, mrr)))
    objective.mrr({}, watch)
    numbers = [number for number, _ in told]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] <= 9
    assert len(numbers) >= 4
    assert done[-1] == len(objective.table) == 200
    # Batches of 32 end at row 192 before the end: what is told there is of rows 40 to 192.
    upto = objective_until(0.48, planted_table(400, seed=1), Protocol(score_from=0.1), SMALL, 32)
    assert told[-1][1] == pytest.approx(upto.mrr({}, SILENT), abs=1e-12)


def test_a_watcher_that_prunes_ends_the_replay() -> None:
    """What it raises comes out, and no further batch is run."""
    done: list[int] = []

    def prune(number: int, mrr: float) -> None:
        raise Pruned

    with pytest.raises(Pruned):
        small_objective().mrr({}, Watch(done.append, prune))
    assert max(done, default=0) < 100


@pytest.mark.parametrize(
    ("score_from", "score_to", "types"),
    [(0.5, 0.5, None), (0.6, 0.5, None), (0.1, 0.5, ["dislike"] * 20)],
)
def test_an_interval_without_an_event_to_score_is_refused(
    score_from: float, score_to: float, types: list[str] | None
) -> None:
    """Empty, the wrong way round, or without outcomes: said before anything runs."""
    table = table_of([("a", "x"), ("b", "y")] * 10, types)
    with pytest.raises(BadConfiguration, match="no event is scored"):
        objective_until(score_to, table, Protocol(score_from=score_from), Settings(), 32)


def test_the_description_tells_searches_apart() -> None:
    """By events, protocol and settings that matter; not by where Kafka is."""
    table = planted_table(100, seed=1)
    kafka = SMALL.kafka.model_copy(update={"group": "another"})
    rank = SMALL.rank.model_copy(update={"top_k": 20})

    def description(
        events: EventTable = table, score_to: float = 0.5, settings: Settings = SMALL
    ) -> dict[str, Any]:
        return objective_until(score_to, events, Protocol(0.1), settings, 32).description()

    same = description()
    assert description(settings=SMALL.model_copy(update={"kafka": kafka})) == same
    assert description(with_tail(table, 50)) == same
    assert description(with_tail(table, 49)) != same
    assert description(score_to=0.6) != same
    assert description(settings=SMALL.model_copy(update={"rank": rank})) != same
