"""`metarec demo`: start everything on this machine and stream a bundled shop through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.types import PositiveFloat

from metarec_stream.config import Settings
from metarec_stream.datasets import online_retail
from metarec_stream.demo.run import Plan, run
from metarec_stream.settings_sources import BadConfiguration


def _event_count(_type: Any, tokens: Sequence[Any]) -> int:
    """A count of rows, or `all`; raises ValueError for anything else."""
    text = tokens[0].value
    count = online_retail.ROWS if text == "all" else int(text)
    if count < 1:
        raise ValueError("at least 1")
    return min(count, online_retail.ROWS)


def demo(
    *,
    events: Annotated[int, Parameter(converter=_event_count)] = 60_000,
    seconds: PositiveFloat = 90.0,
    json: Path | None = None,
    keep: Annotated[bool, Parameter(negative="")] = False,
    settings: Annotated[Settings, Parameter(parse=False)],
    origins: Annotated[Mapping[str, str], Parameter(parse=False)],
) -> int:
    """Start Kafka, a learner, a consumer and a producer, and watch them work.

    Streams the purchases of a gift shop (Online Retail, Chen 2015) through them. Nothing is left
    behind, also after Ctrl-C. Where kafka.bootstrap_servers is set, no broker is started and the
    demo uses topics of its own there, which it deletes at the end.

    Parameters
    ----------
    events
        How many purchases, or `all`.
    seconds
        How long posting them is to take.
    json
        Write the figures to this file.
    keep
        Stay up afterwards, and say how to post an event and watch the answer.
    """
    if json is not None and not json.absolute().parent.is_dir():
        raise BadConfiguration(f"--json {json}: there is no folder {json.parent} to write it to")
    own_broker = "kafka.bootstrap_servers" not in origins
    return run(settings, Plan(events, seconds, json, keep, own_broker))
