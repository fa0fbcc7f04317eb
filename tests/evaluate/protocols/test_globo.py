"""Which clicks are scored hour by hour, and among which others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from metarec_stream.contract.interaction import DEFAULT_TYPES
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.protocols.globo import hour_by_hour, seen_so_far
from metarec_stream.evaluate.protocols.recent_negatives import negatives_by_row, sessions_of
from metarec_stream.evaluate.stream import stream_of
from tests.evaluate.streams import table_of

Clicks = list[tuple[int, str, str, int]]
"""Hour of the session, session, item, minute."""


def _table(clicks: Clicks) -> tuple[EventTable, NDArray[np.int64], NDArray[np.int64]]:
    ordered = sorted(clicks, key=lambda click: click[3])
    names = sorted({session for _, session, *_ in ordered})
    table = table_of(
        [(session, item) for _, session, item, _ in ordered],
        seconds=[60 * minute for *_, minute in ordered],
    )
    session = np.array([names.index(name) for _, name, *_ in ordered])
    return table, session, np.array([hour for hour, *_ in ordered])


def _negatives(clicks: Clicks, trained_hours: int, seed: int = 0) -> dict[str, set[str]]:
    """By the item of each next click, the items that it is ranked among."""
    table, session, hour = _table(clicks)
    found = negatives_by_row(sessions_of(table, session, hour), trained_hours, seed)
    return {
        table.item[row]: {table.item[other] for other in found[row].tolist() if other >= 0}
        for row in range(len(table))
        if (found[row] >= 0).any()
    }


def test_negatives_are_other_sessions_clicks() -> None:
    """Few clicks: all of the batch but the session's own, later ones of it included."""
    clicks = [(0, "s", "a", 0), (0, "t", "b", 1), (0, "s", "c", 2), (0, "t", "d", 3)]
    clicks += [(0, "s", "e", 4), (0, "t", "a", 5)]
    assert _negatives(clicks, 1) == {
        "c": {"b", "d"},
        "e": {"b", "d"},
        "d": {"c", "e"},
        "a": {"c", "e"},
    }


def test_negatives_reach_back_an_hour_of_clicks() -> None:
    """At hour 2: what hour 1 left of hour 0 is what was clicked an hour before it, or later."""
    clicks = [(0, "old", "a", 0), (0, "old", "b", 1), (0, "late", "c", 50), (0, "late", "d", 51)]
    clicks += [(1, "next", "e", 100), (1, "next", "f", 101)]
    clicks += [(2, "asked", "g", 130), (2, "asked", "h", 131)]
    assert _negatives(clicks, 1)["h"] == {"c", "d", "e", "f"}


def test_a_sessions_last_click_counts_as_of_the_one_before() -> None:
    """Its own time is not read: though within the hour, it leaves with the click before it."""
    clicks = [(0, "s", "a", 0), (0, "s", "b", 99)]
    clicks += [(1, "t", "c", 100), (1, "t", "d", 101), (2, "u", "e", 130), (2, "u", "f", 131)]
    assert _negatives(clicks, 1)["f"] == {"c", "d"}


def test_negatives_are_different_items_and_what_is_clicked_often_is_drawn_often() -> None:
    """300 sessions on items of their own, every third of which also clicked the same one."""
    clicks: Clicks = []
    for number in range(300):
        name = f"s{number:03}"
        clicks += [(0, name, f"a{number}", number), (0, name, f"b{number}", number)]
        clicks += [(0, name, "often", number)] if number % 3 == 0 else []
    table, session, hour = _table(clicks)
    found = negatives_by_row(sessions_of(table, session, hour), 1, 0)
    asked = [row for row in range(len(table)) if found[row, 0] >= 0 and table.item[row] != "often"]
    drawn = [[table.item[other] for other in found[row].tolist()] for row in asked]
    assert all(len(set(items)) == 50 for items in drawn)
    assert all(
        f"a{table.item[row][1:]}" not in items for row, items in zip(asked, drawn, strict=True)
    )
    with_it = np.mean(["often" in items for items in drawn])
    # Two thirds of the sessions can draw it; another item is drawn by a tenth of them.
    assert with_it > 0.6
    again = negatives_by_row(sessions_of(table, session, hour), 1, 0)
    other = negatives_by_row(sessions_of(table, session, hour), 1, 1)
    assert (again == found).all()
    assert not (other == found).all()


def _six_hours() -> Clicks:
    clicks = []
    for hour in range(12):
        for name in "st":
            clicks += [
                (hour, f"{hour:02}{name}", f"i{hour}{name}{n}", 60 * hour + n) for n in range(3)
            ]
    return clicks


def test_next_clicks_of_every_fifth_hour_are_scored() -> None:
    """Hours 5 and 10, not their sessions' first clicks; to choose by: those of hours 0 to 4."""
    table, session, hour = _table(_six_hours())
    trial = hour_by_hour(table, session, hour, 0)
    stream = stream_of(table, DEFAULT_TYPES, trial.questions)
    scored = stream.scored(trial.protocol)
    assert [table.item[row] for row in scored.tolist()] == [
        f"i{number}{name}{click}" for number in (5, 10) for click in (1, 2) for name in "st"
    ]
    before = stream.ranked(trial.protocol, slice(0, int(scored[0])))
    assert np.unique(hour[before]).tolist() == [0, 1, 2, 3, 4]
    assert (stream.slates_of(scored) >= 0).any(axis=1).all()
    assert sorted(stream.parts) == ["hour 10", "hour 5"]
    assert np.array_equal(np.flatnonzero(stream.parts["hour 5"]), scored[:4])


def test_clicks_after_the_20th_and_late_ones_of_early_hours_are_not_scored() -> None:
    """A session of 25 clicks is read up to its 20th; one of hour 0 goes on past hour 5."""
    clicks = _six_hours() + [(5, "05long", f"l{n}", 300 + n) for n in range(25)]
    clicks += [(0, "00slow", "l0", 10), (0, "00slow", "l1", 400)]
    table, session, hour = _table(clicks)
    trial = hour_by_hour(table, session, hour, 0)
    scored = stream_of(table, DEFAULT_TYPES, trial.questions).scored(trial.protocol)
    items = [table.item[row] for row in scored.tolist() if table.item[row].startswith("l")]
    assert items == [f"l{n}" for n in range(1, 20)]


def test_five_hours_are_too_few() -> None:
    """There is nothing to evaluate then."""
    table, session, hour = _table([click for click in _six_hours() if click[0] < 5])
    with pytest.raises(Fatal, match="trains on 5"):
        hour_by_hour(table, session, hour, 0)


def test_unseen_among_all_items_so_far() -> None:
    """The last half, what the user had masked."""
    table = replace(_table(_six_hours())[0], user=["u"] * 72)
    protocol = seen_so_far(table).protocol
    assert stream_of(table, DEFAULT_TYPES).scored(protocol).tolist() == list(range(36, 72))
    assert protocol.candidates == "seen"
    assert protocol.repeats == "mask"
