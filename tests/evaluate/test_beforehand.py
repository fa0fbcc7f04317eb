"""Items and profiles that are known before the first event, from files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.beforehand import NOTHING, known_beforehand
from metarec_stream.evaluate.models import Evaluation, run_model
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import stream_of
from metarec_stream.settings_sources import BadConfiguration
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
        written(tmp_path / "items", items), written(tmp_path / "users", users), ALL, SMALL
    )
    assert len(beforehand.items) == 600
    assert len(beforehand.profiles) == len(users)
    table = table_of(rows)
    stream = stream_of(table, SMALL.events.table())

    def mean_rank(known: object) -> float:
        evaluation = Evaluation(table, ALL, SMALL, 64, beforehand=known)  # type: ignore[arg-type]
        ranked = run_model("default", evaluation, stream, lambda *_: None)
        return float((ranked.greater + ranked.equal / 2)[-200:].mean())

    assert mean_rank(beforehand) < 0.75 * mean_rank(NOTHING)


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    """With its file and number; so is a file that is not there."""
    path = written(tmp_path / "items", [{"item": "a"}, {"item": 3}])
    with pytest.raises(Fatal, match=r"items, line 2: no message of the topic items"):
        known_beforehand(path, None, ALL, Settings())
    with pytest.raises(Fatal, match=r"nothing: cannot be read: No such file"):
        known_beforehand(None, tmp_path / "nothing", ALL, Settings())


def test_items_that_appear_cannot_be_announced(tmp_path: Path) -> None:
    """A protocol whose candidates are the items seen so far knows none beforehand."""
    path = written(tmp_path / "both", [{"item": "a", "user": "b"}])
    with pytest.raises(BadConfiguration, match="say --candidates all"):
        known_beforehand(path, None, Protocol(), Settings())
    assert len(known_beforehand(None, path, Protocol(), Settings()).profiles) == 1
