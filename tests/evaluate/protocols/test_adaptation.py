"""Users whom nothing was trained on, changes of taste, and the area between two curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metarec_stream.contract.interaction import DEFAULT_TYPES
from metarec_stream.datasets.settings import SyntheticSettings
from metarec_stream.datasets.synthetic import synthetic_stream
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.protocols.adaptation import (
    adaptation_curve,
    adaptation_score,
    changed_taste,
    held_out_users,
)
from metarec_stream.evaluate.stream import stream_of
from tests.evaluate.streams import table_of

_TABLE = table_of([(f"u{user}", f"i{item}") for user in range(40) for item in range(60)])


def test_held_out_users_come_after_all_others_with_their_first_50_events() -> None:
    """A fifth of the users; the outer loop stops where they begin."""
    trial = held_out_users(_TABLE, 0)
    trained = 32 * 60
    table, protocol = trial.table, trial.protocol
    assert len(table) == trained + 8 * 50
    assert not set(table.user[:trained]) & set(table.user[trained:])
    assert protocol.first_scored(len(table)) == protocol.first_frozen(len(table)) == trained
    assert len(set(table.ts.tolist())) == 1
    counts = np.unique(np.array(table.user[trained:]), return_counts=True)[1]
    assert counts.tolist() == [50] * 8


def test_events_are_told_by_how_many_the_user_had_before() -> None:
    """Each point of the curve has one event of each held-out user; ranges have theirs."""
    trial = held_out_users(_TABLE, 0)
    stream = stream_of(trial.table, DEFAULT_TYPES, trial.questions)
    for events in (0, 1, 7, 16):
        part = stream.parts[f"after {events}"]
        assert part.sum() == 8
        assert (stream.earlier[part] == events).all()
    expected = {"after 1-4": 8 * 4, "after 5-19": 8 * 15, "after 20-49": 8 * 30}
    assert {name: int(stream.parts[name].sum()) for name in expected} == expected


def test_users_arrive_along_the_stream_and_the_seed_decides() -> None:
    """A trained user's events span about a tenth of the stream, in an order of the seed's."""
    first, again, other = (held_out_users(_TABLE, seed).table for seed in (0, 0, 1))
    assert first.user == again.user
    assert first.item == again.item
    assert set(first.user[-1:]) != set(other.user[-1:]) or first.item != other.item
    trained = np.array(first.user[: 32 * 60])
    spans = [
        np.ptp(np.flatnonzero(trained == name)) / len(trained) for name in set(trained.tolist())
    ]
    assert 0.03 < np.mean(spans) < 0.2


def test_one_user_cannot_be_held_out() -> None:
    """There is nobody to be trained on."""
    with pytest.raises(Fatal, match="one user"):
        held_out_users(table_of([("a", "x"), ("a", "y")]), 0)


def test_events_after_a_change_of_taste_are_told_from_it() -> None:
    """Users who came later have nothing to forget: they are not scored."""
    section = SyntheticSettings(
        events=2_000, users=60, items=200, change_at=(1_000,), repeats=0.0, new_users=0.1
    )
    made = synthetic_stream(section, 0)
    trial = changed_taste(made)
    stream = stream_of(trial.table, DEFAULT_TYPES, trial.questions)
    scored = stream.scored(trial.protocol)
    assert scored.min() >= 1_000
    assert set(made.users[scored].tolist()) <= set(made.users[:1_000].tolist())
    assert set(made.users[1_000:].tolist()) - set(made.users[scored].tolist())
    for row in np.flatnonzero(stream.parts["after 2"]).tolist():
        assert np.count_nonzero(made.users[1_000:row] == made.users[row]) == 2


def test_a_stream_without_a_change_says_so() -> None:
    """It has no curve to show."""
    with pytest.raises(Fatal, match="no taste changes"):
        changed_taste(synthetic_stream(SyntheticSettings(events=100, change_at=()), 0))


def _report(curve: list[float | None]) -> dict[str, Any]:
    return {"slices": {f"after {place}": {"hr@10": value} for place, value in enumerate(curve)}}


def test_the_score_is_the_area_between_the_curves() -> None:
    """A model that starts level and gains .16 by the 16th event gains .08 on average."""
    rising = _report([0.1 + 0.01 * place for place in range(17)])
    level = _report([0.1] * 17)
    assert adaptation_score(rising, level) == pytest.approx(0.08)
    assert adaptation_score(level, level) == 0.0
    assert adaptation_curve(rising)[16] == pytest.approx(0.26)


def test_a_curve_with_a_hole_is_none() -> None:
    """It says after how many events nobody was scored."""
    with pytest.raises(Fatal, match="nobody has 3 events"):
        adaptation_curve(_report([0.1, 0.1, 0.1, None, *[0.1] * 13]))
