"""The default model over the in-memory log: what it learns, what it scores, and that it repeats."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.config import Settings
from metarec_stream.evaluate.admission import posted
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.models import Evaluation, evaluate_models
from metarec_stream.evaluate.prequential import (
    Pace,
    prequential_settings,
    replay_stream,
    stream_numbers,
)
from metarec_stream.evaluate.protocol import Candidates, Protocol, Repeats
from metarec_stream.evaluate.replay import Replay
from metarec_stream.evaluate.stream import stream_of
from metarec_stream.learner.settings import GateSettings, LearnSettings
from metarec_stream.pipeline.recommender import RankProtocol
from tests.evaluate.streams import planted_table, table_of

SMALL = Settings(
    learn=LearnSettings(block=64, device="cpu"),
    gate=GateSettings(window=128, minimum=64),
    value_sum=ValueSumSettings(dimensions=8, time_scales=2, window=8),
)


def evaluated(
    table: EventTable,
    protocol: Protocol,
    models: tuple[str, ...] = ("default", "popularity"),
    outer_every: int = 64,
) -> dict[str, Any]:
    """The result without what depends on the machine's speed."""
    evaluation = Evaluation(table, protocol, SMALL, outer_every)
    result: dict[str, Any] = evaluate_models(evaluation, models, lambda _name, _done: None)
    for found in result["models"].values():
        assert found.pop("events_per_second") > 0
    return result


def test_default_beats_popularity_where_there_is_something_to_learn() -> None:
    """Users on rounds of their own: the next item follows from the last, and from nothing else."""
    models = evaluated(planted_table(1_500, seed=1), Protocol())["models"]
    assert models["default"]["scored"] == models["popularity"]["scored"] == 750
    assert models["default"]["mrr"] > 0.5
    assert models["default"]["mrr"] > 3 * models["popularity"]["mrr"]


def test_the_same_seed_gives_the_same_result() -> None:
    """Twice the same stream, to the last digit; random negatives and tasks included."""
    table = planted_table(500, seed=2)
    protocol = Protocol(negatives=20)
    first, again = evaluated(table, protocol), evaluated(table, protocol)
    assert json.dumps(first) == json.dumps(again)


@pytest.mark.parametrize("repeats", ["include", "mask"])
@pytest.mark.parametrize("candidates", ["seen", "all"])
def test_both_models_score_the_same_events(repeats: Repeats, candidates: Candidates) -> None:
    """Equal counts of scored events overall and by slice, under every protocol."""
    table = planted_table(300, seed=3)
    types: list[str | None] = ["skip" if row % 7 == 0 else "click" for row in range(300)]
    protocol = Protocol(score_from=0.3, candidates=candidates, repeats=repeats)
    models = evaluated(replace(table, type=types), protocol)["models"]
    counts = [
        [found["scored"], *(part["scored"] for part in found["slices"].values())]
        for found in models.values()
    ]
    assert counts[0] == counts[1]
    assert counts[0][0] > 0


def test_negatives_bound_the_ranks_of_the_default() -> None:
    """Among two random candidates and itself, no target is below the third place."""
    protocol = Protocol(negatives=2, candidates="all")
    models = evaluated(planted_table(300, seed=6), protocol, ("default",))["models"]
    assert models["default"]["hr@5"] == 1.0
    assert models["default"]["mrr"] >= 1 / 3


def test_lists_are_told_in_the_streams_numbers() -> None:
    """However the recommender numbered its items; padding stays padding."""
    stream = stream_of(table_of([("a", "x"), ("a", "y"), ("a", "z")]), SMALL.events.table())
    numbers = stream_numbers(["z", "x"], stream)
    assert numbers[np.array([0, 1, -1])].tolist() == [2, 0, -1]


def test_masked_lists_hold_nothing_that_the_user_had() -> None:
    """Every list is of the stream's items, and new to its user."""
    table = planted_table(300, seed=4)
    stream = stream_of(table, SMALL.events.table())
    protocol = Protocol(repeats="mask", score_from=0.0)
    ranked = replay_stream(table, stream, protocol, SMALL, Pace(64, lambda _done: None))
    assert (ranked.lists >= 0).any()
    scored = ranked.of(stream.scored(protocol))
    for row, shown in zip(scored.rows, scored.lists, strict=True):
        had = stream.items[:row][stream.users[:row] == stream.users[row]]
        assert not np.isin(shown, had).any()
        assert shown.max(initial=-1) <= stream.items[:row].max(initial=-1)


def test_candidates_of_the_whole_file_include_items_not_seen_yet() -> None:
    """With `seen` a first-seen item is a scored miss, with `all` it has a rank."""
    table = table_of([("a", f"i{row}") for row in range(30)])
    seen = evaluated(table, Protocol(score_from=0.0), outer_every=8)["models"]
    everything = evaluated(table, Protocol(score_from=0.0, candidates="all"), outer_every=8)
    for model in ("default", "popularity"):
        assert (seen[model]["mrr"], seen[model]["scored"]) == (0.0, 30)
        assert everything["models"][model]["mrr"] > 0


TINY = {
    "one event": table_of([("a", "x")]),
    "one user": table_of([("a", f"i{row % 3}") for row in range(10)]),
    "one item": table_of([(f"u{row % 3}", "x") for row in range(10)]),
    "ten events": table_of([(f"u{row % 4}", f"i{row % 3}") for row in range(10)]),
    "one moment": table_of([(f"u{row % 4}", f"i{row % 3}") for row in range(40)], None, [0] * 40),
    "nothing wanted": table_of([("a", "x"), ("a", "y")] * 5, ["dislike"] * 10),
}


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("repeats", ["include", "mask"])
def test_the_smallest_streams_are_evaluated(name: str, repeats: Repeats) -> None:
    """One user, one item, ten events, a single moment: a result for both models, no crash."""
    table = TINY[name]
    result = evaluated(table, Protocol(repeats=repeats), outer_every=4)
    assert result["dataset"]["events"] == len(table)
    stream = stream_of(table, SMALL.events.table())
    expected = len(stream.scored(Protocol(repeats=repeats)))
    assert [found["scored"] for found in result["models"].values()] == [expected, expected]


def test_versions_are_told_with_the_offset_from_which_they_rank() -> None:
    """Offsets lie on the ends of batches, and version numbers grow by one."""
    settings = prequential_settings(SMALL, 64)
    told: list[tuple[int, int]] = []
    replay = Replay(
        settings, RankProtocol(), on_version=lambda at, made: told.append((at, made.version))
    )
    table = planted_table(640, seed=5)
    for start in range(0, 640, 64):
        rows = range(start, start + 64)
        events = [
            (posted(table, row, settings.topics.interactions), int(table.ts[row])) for row in rows
        ]
        replay.step(events)
        assert replay.recommender.meta_version == (told[-1][1] if told else 0)
    assert [version for _, version in told] == list(range(1, len(told) + 1))
    assert told
    assert all(at % 64 == 0 for at, _ in told)
