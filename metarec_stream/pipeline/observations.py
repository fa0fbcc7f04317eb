"""How a batch's events were ranked before they were applied, out of the compiled arrays."""

from __future__ import annotations

import numpy as np

from metarec_stream.pipeline.accept import Accepted
from metarec_stream.pipeline.adapt import Adapted, Events
from metarec_stream.pipeline.observe import Observed
from metarec_stream.pipeline.results import Observations


def observations_of(
    observed: Observed, adapted: Adapted, events: Events, accepted: Accepted
) -> Observations:
    """Of the events that were ranked, in order."""
    number = observed.event
    taken = adapted.steps.before[number]
    return Observations(
        partition=np.array(accepted.partitions, np.int64)[number],
        offset=np.array(accepted.offsets, np.int64)[number],
        user=events.user[number],
        item=events.item[number],
        candidate=observed.candidate,
        masked=observed.masked,
        repeat=observed.repeat,
        earlier=adapted.snapshots.earlier[taken],
        greater=observed.greater,
        equal=observed.equal,
        candidates=observed.candidates,
        popularity_greater=observed.popularity_greater,
        popularity_equal=observed.popularity_equal,
        lists=observed.lists,
        probability=observed.probability,
        expected=observed.expected,
    )
