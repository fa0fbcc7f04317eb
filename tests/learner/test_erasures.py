"""After a receipt nothing is learned from the user's past, and no byte of it is kept."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from kafka import KafkaProducer
from prometheus_client import CollectorRegistry

from metarec_stream.clock import ManualClock
from metarec_stream.config import Settings
from metarec_stream.contract.codec import encode
from metarec_stream.contract.receipt import Receipt, shown_hash
from metarec_stream.contract.recommendation import SourcePosition
from metarec_stream.contract.task import TaskBlock
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.learner.buffer import ReplayBuffer
from metarec_stream.learner.checkpoint import CheckpointFolder, Checkpoints
from metarec_stream.learner.checkpoint import encode as encoded
from metarec_stream.learner.erasures import Erasures
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.receipts import ReceiptReader
from metarec_stream.learner.start import built_in_version
from metarec_stream.metrics import LearnerMetrics
from tests.learner.planted import planted_block, quick_settings
from tests.learner.test_buffer import events

ERIKA = 0x1122334455667788
SETTINGS = quick_settings()


def receipt(user: int = ERIKA, partition: int = 0, offset: int = 1_000) -> Receipt:
    """One of an erasure at this offset."""
    source = SourcePosition(topic="interactions", partition=partition, offset=offset)
    return Receipt(
        user=shown_hash(user), source=source, ts=0, interactions=1, remembered=1, profile=False,
        retained=[],
    )  # fmt: skip


def block(seed: int, first: int, every: int = 4) -> TaskBlock:
    """Offsets from `first` on; Erika is the user of some events."""
    made = planted_block(seed)
    users = np.ones(len(made.users), np.uint64)
    users[::every] = ERIKA
    return replace(made, users=users, offsets=first + np.arange(len(users), dtype=np.int64))


def bytes_of(learner: Learner) -> bytes:
    """A checkpoint of the learner, whole."""
    return b"".join(encoded(learner.snapshot(), {}))


def test_learned_and_waiting_events_are_forgotten() -> None:
    """The hash is in the checkpoint before, of the buffer and of what waits; not in that after."""
    learner = Learner(SETTINGS, built_in_version(SETTINGS))
    for number in range(4):
        learner.take(block(number, 64 * number), number + 1)
    learner.take(replace(block(9, 256), partition=1), 1)
    half = SETTINGS.learn.block // 2
    learner._pending.add(learner._buffer.draw(half), 1, 2)
    name = ERIKA.to_bytes(8, "little")
    assert bytes_of(learner).count(name) > 64
    kept = learner._buffer.added
    assert learner.erase([(receipt(), 7)]) >= 80
    assert name not in bytes_of(learner)
    assert ERIKA not in learner._buffer.kept()["users"]
    assert len(learner._buffer) == kept
    assert learner.snapshot().progress.receipts == 7


def test_only_what_came_before_the_erasure_is_left_out() -> None:
    """A block that is read late or again, the same offsets of another partition, and the return."""
    erasures = Erasures()
    erasures.note([receipt(offset=100)])
    before = erasures.without_erased(block(1, 0))
    assert ERIKA not in before.users
    assert (len(before.users), len(before.offsets), len(before.window)) == (48, 48, 48)
    again = block(1, 101)
    assert erasures.without_erased(again) is again
    split = erasures.without_erased(block(1, 98))
    assert split.offsets[split.users == ERIKA].tolist() == list(range(102, 162, 4))
    other = replace(block(1, 0), partition=1)
    assert erasures.without_erased(other) is other


def test_a_restart_forgets_only_what_was_erased_since() -> None:
    """Whoever came back after an erasure that was taken up stays; a new erasure counts."""
    learner = Learner(SETTINGS, built_in_version(SETTINGS))
    learner.erase([(receipt(offset=10), 5)])
    learner.take(block(1, 11), 1)
    live = built_in_version(SETTINGS)
    again = Learner(SETTINGS, live, checkpoint=learner.snapshot())
    assert again.erase([(receipt(offset=10), 5)]) == 0
    assert ERIKA in again._buffer.kept()["users"]
    assert again.erase([(receipt(offset=500), 6)]) == 16


def test_the_buffer_stays_as_full_with_others() -> None:
    """Ring and reservoir; and a buffer of nobody else is empty, and can be filled again."""
    buffer = ReplayBuffer(40, seed=1)
    buffer.add(events(0, 90))
    theirs = buffer.kept()["users"][::3]
    assert buffer.forget(theirs) == len(theirs)
    assert len(buffer) == 40
    assert not np.isin(buffer.kept()["users"], theirs).any()
    np.testing.assert_array_equal(buffer.kept()["users"], buffer.kept()["weights"])
    assert buffer.forget(buffer.kept()["users"]) == 40
    assert len(buffer) == 0
    buffer.add(events(0, 5))
    assert len(buffer.kept()["users"]) == 5


def test_no_older_checkpoint_stays(tmp_path: Path) -> None:
    """The files of before hold the user's events: only the one of after is left."""
    metrics = LearnerMetrics(CollectorRegistry())
    checkpoints = Checkpoints(CheckpointFolder(tmp_path, {}), 60.0, metrics, ManualClock(0))
    learner = Learner(SETTINGS, built_in_version(SETTINGS))
    learner.take(block(1, 0), 1)
    checkpoints.write(learner.snapshot)
    checkpoints.write(learner.snapshot)
    learner.erase([(receipt(), 1)])
    checkpoints.replace(learner.snapshot)
    [left] = tmp_path.iterdir()
    assert ERIKA.to_bytes(8, "little") not in left.read_bytes()


def test_receipts_are_read_from_the_broker(settings: Settings) -> None:
    """All that are there at the start, in order, what is none left out; then what comes."""
    ensure_topics(settings)
    value, headers = encode(receipt(), "json")
    with closing(ReceiptReader(settings)) as reader:
        assert reader.catch_up() == []
        servers = settings.kafka.bootstrap_servers
        with closing(KafkaProducer(bootstrap_servers=servers)) as producer:
            for content in (value, b"?", value):
                producer.send(settings.topics.receipts, content, b"k", headers=list(headers))
            producer.flush()
        assert reader.catch_up() == [(receipt(), 1), (receipt(), 3)]
        assert reader.poll() == []
