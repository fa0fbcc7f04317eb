"""The demo as it is watched."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from metarec_stream.contract.recommendation import (
    Recommendation,
    RecommendedItem,
    SourcePosition,
)
from metarec_stream.demo.live import LiveView, PlainView, Rate, title_of, view
from metarec_stream.demo.measurements import Reading

TITLES = {"a": "WHITE  HANGING HEART", "b": "RED MUG"}


def recommendation(*items: str) -> Recommendation:
    """A list of these items."""
    return Recommendation(
        rec_id="r",
        user="12748",
        items=[RecommendedItem(item=item, score=1.0, why=["repeat"]) for item in items],
        ts=1,
        event_ts=1,
        meta_version=1,
        adapter="value-sum",
        arm="default",
        source=SourcePosition(topic="interactions", partition=0, offset=0),
    )


def console(terminal: bool) -> Console:
    """One that writes into memory."""
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, height=40)


def written(target: Console) -> str:
    """All that it has written."""
    assert isinstance(target.file, io.StringIO)
    return target.file.getvalue()


def test_the_terminal_shows_the_list_by_product_name() -> None:
    """And marks what has entered since the list before."""
    target = console(terminal=True)
    with view(target, 100, "12748", TITLES) as shown:
        assert isinstance(shown, LiveView)
        shown.show(Reading(handled=40), None)
        assert "has not bought yet" in written(target)
        shown.show(Reading(handled=50), recommendation("a"))
        shown.show(Reading(handled=60), recommendation("a", "b"))
    rows = [line for line in written(target).splitlines() if "│" in line]
    assert "White hanging heart" in rows[-2]
    assert "new" not in rows[-2]
    assert "Red mug" in rows[-1]
    assert "new" in rows[-1]
    assert "60 of 100 events" in written(target)


def test_elsewhere_there_are_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """One about every five seconds, without any control sequence."""
    now = [1_000.0]
    monkeypatch.setattr("metarec_stream.demo.live.time.monotonic", lambda: now[0])
    target = console(terminal=False)
    with view(target, 100, "12748", TITLES) as shown:
        assert isinstance(shown, PlainView)
        for tick in range(21):
            now[0] = 1_000.0 + 0.5 * tick
            shown.show(Reading(handled=tick), recommendation("b"))
    lines = written(target).splitlines()
    assert len([line for line in lines if "of 100 events" in line]) == 3
    assert "  for customer 12748 now: Red mug; ..." in lines
    assert "\x1b" not in written(target)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """A slow start is forgotten."""
    rate = Rate()
    assert rate.update(0.0, 0) == 0.0
    for second in range(1, 21):
        newest = rate.update(float(second), 10 * second if second <= 10 else 100 + (second - 10))
    assert newest == pytest.approx(1.0)


def test_titles_are_readable() -> None:
    """The shop writes them in capitals; an unknown product is its code."""
    assert title_of("a", TITLES) == "White hanging heart"
    assert title_of("85123a", TITLES) == "85123a"
