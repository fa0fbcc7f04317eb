"""`metarec erase` posts what the service takes for an erasure."""

from __future__ import annotations

from contextlib import closing

import pytest
from kafka import KafkaConsumer, TopicPartition

from metarec_stream.commands.erase import erase
from metarec_stream.config import Settings
from metarec_stream.contract.partitioner import partition_of
from metarec_stream.kafka.source import reading_options
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.pipeline.decode import Decoder


def test_each_user_gets_an_erase_in_the_partition_of_their_events(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under the user's key, without an item, and readable by the consumer's decoder."""
    partitions = ensure_topics(settings)
    assert erase("erika", "max", settings=settings) == 0
    assert settings.topics.receipts in capsys.readouterr().out
    topic = settings.topics.interactions
    decoder = Decoder(settings.guard, settings.events)
    with closing(KafkaConsumer(**reading_options(settings), group_id=None)) as consumer:
        for user in ("erika", "max"):
            place = TopicPartition(topic, partition_of(user.encode(), partitions))
            consumer.assign([place])
            consumer.seek_to_beginning(place)
            records = []
            while consumer.position(place) < consumer.end_offsets([place])[place]:
                records += consumer.poll(timeout_ms=200).get(place, [])
            [mine] = [each for each in records if each.key == user.encode()]
            said = decoder.decode(mine)
            assert (said.user, said.type, said.item) == (user, "erase", "")
