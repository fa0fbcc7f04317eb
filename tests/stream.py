"""Streams of interactions for tests, and a recommender to put them through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from prometheus_client import CollectorRegistry

from metarec_stream.catalogue.histories import NOBODY
from metarec_stream.clock import ManualClock
from metarec_stream.config import Settings
from metarec_stream.contract.codec import decode_recommendation, encode_interaction
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.recommendation import Recommendation
from metarec_stream.contract.transport import Output
from metarec_stream.memory.log import MemoryRecord
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.features import POPULARITY_HALF_LIVES
from metarec_stream.pipeline.recommender import EVERY_CANDIDATE, RankProtocol, Recommender
from metarec_stream.pipeline.results import Observations

TOPIC = "interactions"


def record(interaction: Interaction, offset: int, partition: int = 0) -> MemoryRecord:
    """The interaction as it lies in the log, keyed by its user."""
    value, headers = encode_interaction(interaction)
    timestamp = interaction.ts or 0
    key = interaction.user.encode()
    return MemoryRecord(TOPIC, partition, offset, timestamp, key, value, headers)


def records(interactions: Iterable[Interaction]) -> list[MemoryRecord]:
    """The interactions at offsets 0, 1, ..."""
    return [record(interaction, offset) for offset, interaction in enumerate(interactions)]


def random_interactions(
    count: int, seed: int, users: int = 7, items: int = 23
) -> list[Interaction]:
    """Users with a taste for a few items each, some late events, some negative ones."""
    draw = np.random.default_rng(seed)
    taste = draw.integers(items, size=(users, 5))
    time = 1_700_000_000_000
    made = []
    for _ in range(count):
        user = int(draw.integers(users))
        liked = draw.random() < 0.7
        item = int(taste[user, draw.integers(5)]) if liked else int(draw.integers(items))
        time += int(draw.integers(0, 60_000))
        late = int(draw.integers(3_600_000)) if draw.random() < 0.05 else 0
        kind = "skip" if draw.random() < 0.1 else "click"
        made.append(Interaction(user=f"u{user}", item=f"i{item}", type=kind, ts=time - late))
    return made


def recommender(
    settings: Settings,
    partitions: Sequence[int] = (0,),
    protocol: RankProtocol = EVERY_CANDIDATE,
) -> Recommender:
    """A recommender with empty partitions."""
    metrics = ConsumerMetrics(CollectorRegistry())
    made = Recommender(settings, metrics, ManualClock(0), protocol=protocol)
    for partition in partitions:
        made.assign(partition)
    return made


def lists_of(outputs: Iterable[Output], settings: Settings) -> list[Recommendation]:
    """The recommendations among a batch's outputs."""
    topic = settings.topics.recommendations
    return [
        decode_recommendation(output.value or b"", dict(output.headers)["content-type"])
        for output in outputs
        if output.topic == topic
    ]


def no_observations(k: int) -> Observations:
    """No event was ranked."""
    numbers, whole, flags = np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.bool_)
    by_half_life = np.zeros((0, len(POPULARITY_HALF_LIVES)), np.int32)
    return Observations(
        partition=whole, offset=whole, user=whole, item=numbers, candidate=flags, masked=flags,
        repeat=flags, earlier=whole, greater=numbers, equal=numbers, candidates=numbers,
        popularity_greater=by_half_life, popularity_equal=by_half_life,
        lists=np.zeros((0, k), np.int32), probability=np.zeros((0, k), np.float32),
        expected=np.zeros(0, np.float32),
    )  # fmt: skip


def histories_of(engine: Recommender) -> dict[str, list[str]]:
    """What is kept of single users among the soft state, in the order it came."""
    histories, names = engine._soft.arrays().histories, engine.users.names
    return {
        names[histories.owner[place]]: [
            engine.items[item] for item in histories.items[place, : histories.taken[place]]
        ]
        for place in np.flatnonzero(histories.owner != NOBODY)
    }
