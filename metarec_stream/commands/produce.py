"""`metarec produce`: post interactions of a file, a bundled data set or a made-up one to Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from metarec_stream.client.pacing import AtOnce, EventsPerSecond, Pace, SpedUp
from metarec_stream.client.posting import Posted, post_interactions, post_items
from metarec_stream.client.producer import InteractionProducer
from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.item import Item
from metarec_stream.datasets import online_retail
from metarec_stream.evaluate.dataset import (
    Columns,
    EventTable,
    TimeUnit,
    columns_of,
    read_events,
    table_of,
)
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.settings_sources import BadConfiguration

BUNDLED = "online-retail"
MADE_UP = "synthetic"
INTERRUPTED = 130


def _times(_type: Any, tokens: Sequence[Any]) -> float:
    return _positive(tokens[0].value, "x")


def _per_second(_type: Any, tokens: Sequence[Any]) -> float:
    return _positive(tokens[0].value, "/s")


def produce(
    source: str,
    *,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    time_unit: TimeUnit = "s",
    type: str | None = None,  # noqa: A002 - the flag's name
    value: str | None = None,
    limit: PositiveInt | None = None,
    speed: Annotated[float | None, Parameter(converter=_times)] = None,
    rate: Annotated[float | None, Parameter(converter=_per_second)] = None,
    settings: Annotated[Settings, Parameter(parse=False)],
) -> int:
    """Post interactions to Kafka, in the order of their time.

    Parameters
    ----------
    source
        A .parquet, .csv or .jsonl file, or `online-retail`: the bundled purchases of a gift shop,
        whose products go to the items topic and whose last row happens now; or `synthetic`: users
        whose tastes change, made up as `--synthetic.events` and the settings beside it say.
    user
        The file's column of user ids.
    item
        The file's column of item ids.
    time
        The file's column of times.
    time_unit
        What a time column of numbers counts.
    type
        The file's column of interaction types; all are `click` without it.
    value
        The file's column of values.
    limit
        Post the first rows only.
    speed
        Post as the events came, so many times faster, like `60x`.
    rate
        Post so many events a second, like `500/s`. Without speed and rate: as fast as it goes.
    """
    pace = _pace(speed, rate)
    if source == BUNDLED:
        items, events, total = _online_retail(limit)
    elif source == MADE_UP:
        items, events, total = _synthetic(settings, limit)
    else:
        columns = {"user": user, "item": item, "time": time, "type": type, "value": value}
        found = columns_of(Path(source), columns, time_unit, settings.catalogue.context)
        items, events, total = _file(Path(source), found, limit)
    return _post(settings, items, events, total, pace)


def _post(
    settings: Settings,
    items: Iterable[Item],
    events: Iterable[Interaction],
    total: int,
    pace: Pace,
) -> int:
    posted = Posted()
    try:
        with InteractionProducer(settings.kafka, topics=settings.topics) as producer:
            ensure_topics(settings)
            post_items(producer, items, posted)
            post_interactions(producer, events, total, pace, posted)
    except KeyboardInterrupt:
        print(f"interrupted after posting {posted}")
        return INTERRUPTED
    print(f"posted {posted}")
    return 0


def _online_retail(limit: int | None) -> tuple[list[Item], Iterable[Interaction], int]:
    total = min(limit or online_retail.ROWS, online_retail.ROWS)
    events = online_retail.interactions(SystemClock().now_ms(), limit)
    return online_retail.items(limit), events, total


def _synthetic(
    settings: Settings, limit: int | None
) -> tuple[list[Item], Iterable[Interaction], int]:
    # It brings numba, which nothing else here needs.
    from metarec_stream.datasets.synthetic import synthetic_stream

    table = table_of(synthetic_stream(settings.synthetic, settings.seed), limit)
    now = replace(table, ts=table.ts + (SystemClock().now_ms() - table.ts[-1]))
    return [], _interactions(now), len(now)


def _file(
    path: Path, columns: Columns, limit: int | None
) -> tuple[list[Item], Iterable[Interaction], int]:
    table = read_events(path, columns, limit)
    for note in table.notes:
        print(note)
    return [], _interactions(table), len(table)


def _interactions(table: EventTable) -> Iterable[Interaction]:
    """The rows of an `EventTable`, one by one."""
    return (table.interaction(row) for row in range(len(table)))


def _pace(speed: float | None, rate: float | None) -> Pace:
    if speed and rate:
        raise BadConfiguration("--speed and --rate exclude each other: give one of them")
    if speed:
        return SpedUp(speed)
    return EventsPerSecond(rate) if rate else AtOnce()


def _positive(text: str, unit: str) -> float:
    """The number of `60`, or of `60` and the unit; raises ValueError for anything else."""
    try:
        number = float(text.removesuffix(unit))
    except ValueError:
        number = 0.0
    if not 0.0 < number < inf:
        raise ValueError(f"expected a number above 0, like 60{unit}, got {text}")
    return number
