"""Which partition a key leads to."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kafka.partitioner import DefaultPartitioner

from metarec_stream.contract.partitioner import partition_of


class _Cluster:
    """As much of kafka-python's cluster metadata as its partitioner looks at."""

    def __init__(self, partitions: int) -> None:
        self._partitions = set(range(partitions))

    def topics(self) -> set[str]:
        return {"interactions"}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return self._partitions

    def available_partitions_for_topic(self, topic: str) -> set[int]:
        return self._partitions


@given(key=st.binary(max_size=300), partitions=st.integers(1, 500))
@example(key=b"", partitions=7)
def test_a_key_goes_where_kafka_python_sends_it(key: bytes, partitions: int) -> None:
    """Every key has the partition that kafka-python's default partitioner gives it."""
    cluster = _Cluster(partitions)
    theirs = DefaultPartitioner().partition("interactions", key, key, None, None, cluster)
    assert partition_of(key, partitions) == theirs


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_the_java_client(key: bytes, hashed: int) -> None:
    """The values of Kafka's own test of `Utils.murmur2` come out, sign bit cleared."""
    assert partition_of(key, 1 << 31) == hashed & 0x7FFFFFFF
