"""Items and profiles that are known before the first event, from files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.beforehand import NOTHING, Beforehand, known_beforehand
from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.models import Evaluation, run_model
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import stream_of
from tests.evaluate.streams import table_of
from tests.evaluate.test_prequential import SMALL

ALL = Protocol(candidates="all", score_from=0.0)


def written(path: Path, messages: Sequence[Mapping[str, object]]) -> Path:
    """A file of messages, a line each."""
    path.write_text("".join(json.dumps(message) + "\n" for message in messages))
    return path


def test_what_is_known_of_items_and_users_is_learned_with(tmp_path: Path) -> None:
    """Users of two kinds want items of two kinds; only who knows the kinds finds new items."""
    names = [f"{kind}{number}" for number in range(300) for kind in "ab"]
    rows = [(f"user-{number % 40}-{item[0]}", item) for number, item in enumerate(names)]
    items = [{"item": item, "categories": [item[0]]} for item in names]
    users = [
        {"user": user, "attributes": {"kind": user[-1]}} for user in sorted({u for u, _ in rows})
    ]
    beforehand = known_beforehand(
        written(tmp_path / "items", items), written(tmp_path / "users", users), SMALL
    )
    assert len(beforehand.items) == 600
    assert len(beforehand.profiles) == len(users)
    table = table_of(rows)
    stream = stream_of(table, SMALL.events.table())

    def mean_rank(known: Beforehand) -> float:
        evaluation = Evaluation(table, ALL, SMALL, 64, beforehand=known)
        ranked = run_model("default", evaluation, stream, lambda *_: None)
        return float((ranked.greater + ranked.equal / 2)[-200:].mean())

    assert mean_rank(beforehand) < 0.75 * mean_rank(NOTHING)


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    """With its file and number; so is a file that is not there."""
    path = written(tmp_path / "items", [{"item": "a"}, {"item": 3}])
    with pytest.raises(Fatal, match=r"items, line 2: no message of the topic items"):
        known_beforehand(path, None, Settings())
    with pytest.raises(Fatal, match=r"nothing: cannot be read: No such file"):
        known_beforehand(None, tmp_path / "nothing", Settings())


def test_of_items_that_appear_it_is_told_once_they_have(tmp_path: Path) -> None:
    """The first event on an item still is on no candidate; for the next its kind is known.

    Scouts bring items of both kinds in turn; each follower wants one kind, of what came lately.
    """
    random = np.random.default_rng(1)
    names = [f"{kind}{number}" for number in range(350) for kind in "ab"]
    rows: list[tuple[str, str]] = []
    for number, name in enumerate(names):
        rows.append((f"scout-{number % 9}", name))
        kind = "ab"[random.integers(2)]
        lately = [other for other in names[max(0, number - 60) : number] if other[0] == kind]
        if lately:
            rows.append((f"{kind}-{number % 5}", lately[random.integers(len(lately))]))
    path = written(tmp_path / "items", [{"item": name, "tags": [name[0]]} for name in names])
    table = table_of(rows)
    stream = stream_of(table, SMALL.events.table())
    followers = np.array(["scout" not in user for user in table.user])

    def ranked(known: Beforehand) -> RankedEvents:
        evaluation = Evaluation(table, Protocol(score_from=0.0), SMALL, 16, beforehand=known)
        return run_model("default", evaluation, stream, lambda *_: None)

    told, untold = ranked(known_beforehand(path, None, SMALL)), ranked(NOTHING)
    np.testing.assert_array_equal(told.candidate, untold.candidate)
    assert not told.candidate[~followers[told.rows]].any()
    late = told.candidate & (told.rows > len(rows) // 2)
    assert told.greater[late].mean() < 0.8 * untold.greater[late].mean()


def test_who_is_told_of_after_their_first_event_alone(tmp_path: Path) -> None:
    """What is said of an item that never comes changes nothing, where candidates are those seen."""
    table = table_of([(f"u{number % 7}", f"i{number % 11}") for number in range(100)])
    stream = stream_of(table, SMALL.events.table())
    path = written(tmp_path / "items", [{"item": "never", "tags": ["x"]}])
    evaluation = Evaluation(table, Protocol(score_from=0.0), SMALL, 16)
    without = run_model("default", evaluation, stream, lambda *_: None)
    told = replace(evaluation, beforehand=known_beforehand(path, None, SMALL))
    with_it = run_model("default", told, stream, lambda *_: None)
    np.testing.assert_array_equal(with_it.lists, without.lists)


def test_an_item_that_never_comes_is_a_candidate_where_all_are(tmp_path: Path) -> None:
    """It ranks among the others, in the lists as nobody: no measure is of it."""
    table = table_of([(f"u{number % 7}", f"i{number % 11}") for number in range(100)])
    stream = stream_of(table, SMALL.events.table())
    path = written(tmp_path / "items", [{"item": "never", "tags": ["x"]}])
    evaluation = Evaluation(table, ALL, SMALL, 16, beforehand=known_beforehand(path, None, SMALL))
    ranked = run_model("default", evaluation, stream, lambda *_: None)
    assert (ranked.greater + ranked.equal).max() == 12
