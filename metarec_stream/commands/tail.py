"""`metarec tail`: print recommendations as they come."""

from __future__ import annotations

import contextlib
from typing import Annotated

import msgspec
from cyclopts import Parameter

from metarec_stream.client.subscriber import RecommendationSubscriber
from metarec_stream.config import Settings
from metarec_stream.contract.recommendation import Recommendation
from metarec_stream.service.stop import StopRequested, StopSignal

_POLL_S = 0.2
_GRACE_S = 5.0
"""Then it is ended whatever it waits for, a reader of its output among that."""


def tail(
    *,
    user: str | None = None,
    from_beginning: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    settings: Annotated[Settings, Parameter(parse=False)],
) -> int:
    """Print recommendations as they are published, until Ctrl-C.

    Parameters
    ----------
    user
        Only this user's; only their partition is read.
    from_beginning
        Start with the oldest that is kept, not with the next one.
    as_json
        One JSON object a line instead of a line for people.
    """
    # kafka-python 3.0.12 can swallow the exception that a Ctrl-C would be within a poll.
    with (
        contextlib.suppress(StopRequested),
        StopSignal(_GRACE_S) as stop,
        RecommendationSubscriber(
            settings.kafka, topics=settings.topics, user=user, from_beginning=from_beginning
        ) as subscriber,
    ):
        stop.defer()
        while not stop.requested:
            for recommendation in subscriber.poll(_POLL_S):
                print(_line(recommendation, as_json), flush=True)
    return 0


def _line(recommendation: Recommendation, as_json: bool) -> str:
    if as_json:
        return msgspec.json.encode(recommendation).decode()
    places = "  ".join(f"{place.item} ({place.score:.2f})" for place in recommendation.items)
    return f"{recommendation.user}  [version {recommendation.meta_version}]  {places}"
