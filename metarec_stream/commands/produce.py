"""`metarec produce`: post the interactions of a file, or of a bundled data set, to Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, isnan
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
from metarec_stream.evaluate.dataset import Columns, EventTable, TimeUnit, read_events
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.settings_sources import BadConfiguration

BUNDLED = "online-retail"
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
        whose products go to the items topic and whose last row happens now.
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
    else:
        columns = {"user": user, "item": item, "time": time, "type": type, "value": value}
        items, events, total = _file(Path(source), columns, time_unit, limit)
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


def _file(
    path: Path, columns: dict[str, str | None], time_unit: TimeUnit, limit: int | None
) -> tuple[list[Item], Iterable[Interaction], int]:
    user, item, time = (columns[name] for name in ("user", "item", "time"))
    if user is None or item is None or time is None:
        raise BadConfiguration(f"{path}: say which columns to read with --user, --item and --time")
    chosen = Columns(user, item, time, time_unit, columns["type"], columns["value"])
    table = read_events(path, chosen, limit)
    for note in table.notes:
        print(note)
    return [], _interactions(table), len(table)


def _interactions(table: EventTable) -> Iterable[Interaction]:
    """The rows of an `EventTable`, one by one."""
    for row, (user, item, ts) in enumerate(zip(table.user, table.item, table.ts, strict=True)):
        value = None if table.value is None else float(table.value[row])
        yield Interaction(
            user=user,
            item=item,
            type=(table.type[row] if table.type else None) or "click",
            ts=int(ts),
            value=None if value is None or isnan(value) else value,
        )


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
