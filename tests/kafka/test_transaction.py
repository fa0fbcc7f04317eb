"""The transactional producer: no commit without every record."""

from __future__ import annotations

import pytest
from kafka.errors import OutOfOrderSequenceNumberError
from kafka.future import Future

from metarec_stream.config import Settings
from metarec_stream.contract.transport import Output
from metarec_stream.errors import Fatal
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.kafka.transaction import KafkaTransaction
from tests.transport.backends import read_committed


def test_a_record_that_was_given_up_keeps_the_rest_from_being_committed(
    settings: Settings,
) -> None:
    """The library may commit without it and say nothing; here it is Fatal, and nothing is there."""
    ensure_topics(settings)
    topic = settings.topics.recommendations
    transaction = KafkaTransaction(settings)
    transaction.begin()
    transaction.send(Output(topic, 0, b"user", b"kept"))
    lost = Future()
    lost.failure(OutOfOrderSequenceNumberError("given up"))
    transaction._sent.append(lost)
    with pytest.raises(Fatal, match="OutOfOrderSequence"):
        transaction.commit()
    transaction.abort()
    assert read_committed(settings, topic) == []
    transaction.begin()
    transaction.send(Output(topic, 0, b"user", b"next"))
    transaction.commit()
    assert [record.value for record in read_committed(settings, topic)] == [b"next"]
    transaction.close()
