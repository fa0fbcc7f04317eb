"""`metarec erase`: have users forgotten."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from metarec_stream.client.producer import InteractionProducer
from metarec_stream.config import Settings
from metarec_stream.contract.interaction import ERASE, Interaction


def erase(
    user: str,
    *more: str,
    settings: Annotated[Settings, Parameter(parse=False)],
) -> int:
    """Post that users are to be forgotten: one `erase` interaction each.

    What they did before it is forgotten as soon as the service has taken it, and a receipt on the
    topic `metarec.receipts` says so. The users' profiles on the topic `users` are yours to delete,
    and Kafka keeps records of them on other topics until their retention: the receipt names these.

    Parameters
    ----------
    user
        The user's id, as interactions have it.
    more
        More ids.
    """
    users = (user, *more)
    with InteractionProducer(settings.kafka, topics=settings.topics) as producer:
        for each in users:
            producer.post(Interaction(user=each, type=ERASE))
    print(f"posted {len(users)} to {settings.topics.interactions}; receipts come on "
          f"{settings.topics.receipts}")  # fmt: skip
    return 0
