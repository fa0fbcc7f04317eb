"""The learner's process on a real broker: task blocks in, verified versions out, one at a time."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.meta_version_codec import (
    MANIFEST,
    VersionAssembler,
    encode_meta_version,
    parse_key,
    part_key,
)
from metarec_stream.contract.task_codec import encode_task_block
from metarec_stream.demo.environment import environment_of
from metarec_stream.errors import Fatal
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.learner.checkpoint import CheckpointFolder
from metarec_stream.learner.publish import Publisher
from metarec_stream.learner.service import LearnerService
from metarec_stream.learner.snapshot import Snapshot
from metarec_stream.learner.start import built_in_version, identity_of
from metarec_stream.metrics import LearnerMetrics
from tests.learner.planted import ITEMS, planted_block, quick_learning

LIMIT_S = 60.0
COMMAND_LIMIT_S = 240.0
"""A process imports torch first, two beside each other slower than one."""


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """The test's settings with quick learning, publishing as soon as the gate lets pass."""
    return settings.model_copy(update=quick_learning(publish_every_s=0.0))


class Running:
    """A service in this thread, with its metrics."""

    def __init__(self, settings: Settings) -> None:
        self._registry = CollectorRegistry()
        self.service = LearnerService(settings, LearnerMetrics(self._registry), SystemClock())

    def metric(self, name: str, **labels: str) -> float:
        """A metric's value."""
        return self._registry.get_sample_value(name, labels) or 0.0

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Run the loop until the condition holds."""
        stop = threading.Event()
        deadline = time.monotonic() + LIMIT_S

        def on_turn() -> None:
            assert time.monotonic() < deadline, "not within the limit"
            if condition():
                stop.set()

        self.service.run(stop, on_turn)


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """A connected service, closed at the end."""
    one = Running(settings)
    with closing(one.service):
        yield one


def send_tasks(settings: Settings, values: list[tuple[int, bytes]]) -> None:
    """Task records, each to its partition."""
    with closing(KafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers)) as producer:
        for partition, value in values:
            producer.send(settings.topics.tasks, value=value, partition=partition)
        producer.flush()


def planted(numbers: range) -> list[tuple[int, bytes]]:
    """Blocks that can be learned, on both partitions in turn."""
    return [
        (number % 2, encode_task_block(planted_block(number, partition=number % 2)))
        for number in numbers
    ]


def meta_records(settings: Settings) -> list[Any]:
    """Everything committed on the meta topic."""
    options = {"isolation_level": "read_committed", "auto_offset_reset": "earliest"}
    servers = settings.kafka.bootstrap_servers
    with closing(KafkaConsumer(bootstrap_servers=servers, group_id=None, **options)) as consumer:
        partition = TopicPartition(settings.topics.meta, 0)
        consumer.assign([partition])
        end = consumer.end_offsets([partition])[partition]
        records: list[Any] = []
        while consumer.position(partition) < end:
            records += consumer.poll(timeout_ms=200).get(partition, [])
        return records


def records_until(settings: Settings, newest: int) -> list[Any]:
    """Everything on the meta topic once this version is: a commit returns before readers see it."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        records = meta_records(settings)
        if part_key(newest, MANIFEST) in {record.key for record in records}:
            return records
        assert time.monotonic() < deadline, "not within the limit"
        time.sleep(0.02)


def versions_on(settings: Settings, newest: int) -> list[MetaVersion]:
    """The versions that assemble from the meta topic once the newest is there."""
    assembler = VersionAssembler()
    fed = [assembler.feed(record.key, record.value) for record in records_until(settings, newest)]
    return [version for version in fed if version is not None]


def test_tasks_in_versions_out(quick: Settings) -> None:
    """Blocks of both partitions become a chain of versions; broken blocks are counted."""
    ensure_topics(quick)
    foreign = planted_block(500)
    foreign.features[0] = np.nan
    broken = [(0, b"no block"), (1, encode_task_block(foreign))]
    send_tasks(quick, planted(range(20)) + broken + planted(range(20, 40)))
    with running(quick) as one:
        one.run_until(lambda: one.metric("metarec_learner_tasks_total") == 40 * 64)
        published = one.metric("metarec_published_version")
        assert one.metric("metarec_learner_blocks_refused_total") == 2
        assert one.metric("metarec_publish_seconds_count") == published
        assert one.metric("metarec_learner_lag_records") < 42
    versions = versions_on(quick, int(published))
    assert [version.version for version in versions] == list(range(1, int(published) + 1))
    assert [version.parent for version in versions] == list(range(int(published)))
    assert len(versions) >= 2
    assert sorted(versions[-1].items) == sorted(ITEMS)
    assert versions[-1].metrics["loss"] < versions[0].metrics["loss"]
    assert abs(versions[-1].created_ms - time.time() * 1e3) < LIMIT_S * 1e3


def test_while_tasks_wait_a_block_gets_one_step(settings: Settings) -> None:
    """With more waiting than the setting allows, the learner hurries; once it is up, no more."""
    hurrying = quick_learning(publish_every_s=0.0, steps=3, waiting=8)
    quick = settings.model_copy(update=hurrying)
    ensure_topics(quick)
    send_tasks(quick, planted(range(40)))
    with running(quick) as one:
        one.run_until(lambda: one.metric("metarec_learner_tasks_total") == 40 * 64)
        one.run_until(lambda: one.metric("metarec_learner_lag_records") == 0)
        hurried = one.metric("metarec_outer_loop_seconds_count")
        assert 40 <= hurried < 2 * 40
        send_tasks(quick, planted(range(40, 42)))
        one.run_until(lambda: one.metric("metarec_learner_tasks_total") == 42 * 64)
        assert one.metric("metarec_outer_loop_seconds_count") == hurried + 2 * 3


def test_a_restart_goes_on_from_the_published_offsets(quick: Settings) -> None:
    """It adopts the newest version and reads only what that version had not learned."""
    ensure_topics(quick)
    send_tasks(quick, planted(range(40)))
    with running(quick) as one:
        one.run_until(lambda: one.metric("metarec_published_version") >= 1)
        published = int(one.metric("metarec_published_version"))
    newest = versions_on(quick, published)[-1]
    learned = sum(newest.task_offsets.values())
    assert 0 < learned <= 40
    send_tasks(quick, planted(range(40, 50)))
    with running(quick) as again:
        assert again.metric("metarec_published_version") == newest.version
        expected = (50 - learned) * 64
        again.run_until(lambda: again.metric("metarec_learner_tasks_total") >= expected)
        assert again.metric("metarec_learner_tasks_total") == expected


def test_a_second_learner_fences_the_first(quick: Settings) -> None:
    """The first ends by a Fatal when it publishes, and writes nothing; the second goes on."""
    ensure_topics(quick)
    start = built_in_version(quick)
    first_version = MetaVersion(1, 0, start.adapter, [], start.parameters)
    with closing(Publisher(quick)) as first, closing(Publisher(quick)) as second:
        with pytest.raises(Fatal, match="another learner of the same application has taken over"):
            first.publish(first_version)
        second.publish(first_version)
    assert [version.version for version in versions_on(quick, 1)] == [1]


def test_a_version_from_elsewhere_is_fatal(quick: Settings) -> None:
    """A learner of another application on the same topic: the parent is not the newest any more."""
    ensure_topics(quick)
    start = built_in_version(quick)
    other = quick.model_copy(update={"application": f"{quick.application}-b"})
    with closing(Publisher(quick)) as first, closing(Publisher(other)) as second:
        second.publish(MetaVersion(1, 0, start.adapter, [], start.parameters))
        records_until(quick, 1)
        with pytest.raises(Fatal, match="from elsewhere while this learner was at 0"):
            first.publish(MetaVersion(1, 0, start.adapter, [], start.parameters))


def test_older_versions_are_forgotten_in_the_same_transaction(quick: Settings) -> None:
    """What is `keep_versions` back gets a tombstone for every record, also after a restart."""
    learn = quick.learn.model_copy(update={"keep_versions": 2})
    keep_two = quick.model_copy(update={"learn": learn})
    ensure_topics(keep_two)
    start = built_in_version(keep_two)
    for numbers in ((1, 2, 3), (4, 5)):
        with closing(Publisher(keep_two)) as publisher:
            for number in numbers:
                publisher.publish(
                    MetaVersion(number, number - 1, start.adapter, [], start.parameters)
                )
    left = {record.key: record.value for record in records_until(keep_two, 5)}
    alive = {parse_key(key)[0] for key, value in left.items() if value is not None}
    assert alive == {4, 5}


def test_a_full_version_stays_while_deltas_are_against_it(quick: Settings) -> None:
    """Deltas between are forgotten; who starts then has the newest version all the same."""
    learn = quick.learn.model_copy(update={"keep_versions": 2})
    keep_two = quick.model_copy(update={"learn": learn})
    ensure_topics(keep_two)
    start = built_in_version(keep_two)
    with closing(Publisher(keep_two)) as publisher:
        for number in (1, 2, 3, 4):
            mixing = start.parameters["mixing"] + np.float32(number)
            changed = {**start.parameters, "mixing": mixing}
            publisher.publish(MetaVersion(number, number - 1, start.adapter, [], changed))
    left = {record.key: record.value for record in records_until(keep_two, 4)}
    assert {parse_key(key)[0] for key, value in left.items() if value is not None} == {1, 3, 4}
    sizes = {number: len(left[part_key(number, 0)]) for number in (1, 4)}
    assert sizes[4] < 0.8 * sizes[1]
    with closing(Publisher(keep_two)) as again:
        assert again.newest is not None
        np.testing.assert_array_equal(again.newest.parameters["mixing"], mixing)


def test_a_broken_version_on_the_topic_is_passed_over(quick: Settings) -> None:
    """A start adopts the last whole version, and numbers on from the broken one."""
    ensure_topics(quick)
    start = built_in_version(quick)
    whole = MetaVersion(1, 0, start.adapter, [], start.parameters)
    broken = encode_meta_version(MetaVersion(2, 1, start.adapter, [], start.parameters))
    with closing(Publisher(quick)) as publisher:
        publisher.publish(whole)
    with closing(KafkaProducer(bootstrap_servers=quick.kafka.bootstrap_servers)) as producer:
        for key, value in [(broken[0][0], broken[0][1][:-1] + b"!"), broken[-1], (b"what", b"?")]:
            producer.send(quick.topics.meta, key=key, value=value, partition=0)
        producer.flush()
    with closing(Publisher(quick)) as again:
        assert again.newest is not None
        assert again.newest.version == 1
        assert again.newest_number == 2


def environment_for(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of a `metarec learn` with quick learning on the test's topics."""
    return {**environment_of(settings), "METAREC_HTTP__LEARNER_PORT": "0", **more}


@contextmanager
def command(environment: dict[str, str], log: Path, *launcher: str) -> Iterator[Command]:
    """A running `metarec learn`, also under a launcher; killed at the end if it still runs."""
    program = [*launcher, "-m", "metarec_stream", "learn"]
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, *program], env=environment, stderr=file)
    try:
        yield Command(process, log)
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Command:
    """A process and the file of its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(encoding="utf-8")

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Until the condition holds; fails if the process ends, or takes too long."""
        deadline = time.monotonic() + COMMAND_LIMIT_S
        while not condition():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def events_at_start(self) -> int:
        """Events that it had learned when it started, once it has."""
        self.wait_for(lambda: "learner_started" in self.said())
        found = re.search(r"events_learned=(\d+)", self.said())
        assert found
        return int(found[1])


def newest_checkpoint(settings: Settings, folder: Path) -> Snapshot | None:
    """What is in a learner's folder now."""
    of = CheckpointFolder(folder / settings.application, identity_of(settings))
    return of.newest()


@pytest.mark.timeout(600)
def test_the_command_ends_cleanly_on_sigterm(quick: Settings, tmp_path: Path) -> None:
    """SIGTERM ends it with status 0, and leaves a checkpoint, whenever the last one was."""
    ensure_topics(quick)
    learn = quick.learn.model_copy(update={"checkpoint": str(tmp_path), "checkpoint_every_s": 900})
    settings = quick.model_copy(update={"learn": learn})
    with command(environment_for(settings), tmp_path / "log") as one:
        one.wait_for(lambda: "learner_started" in one.said())
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(LIMIT_S) == 0, one.said()
        assert "learner_stopped" in one.said()
    assert newest_checkpoint(settings, tmp_path) is not None


@pytest.mark.timeout(900)
def test_after_kill_9_it_goes_on_where_it_was(quick: Settings, tmp_path: Path) -> None:
    """Every task is learned once: what the checkpoint has is not read again, nothing is left out.

    With the gate closed nothing is published, so that only the checkpoint can know of it.
    """
    ensure_topics(quick)
    learn = quick.learn.model_copy(update={"checkpoint": str(tmp_path), "checkpoint_every_s": 0.2})
    closed = quick.gate.model_copy(update={"confidence": 10.0, "minimum": 512})
    settings = quick.model_copy(update={"learn": learn, "gate": closed})
    send_tasks(settings, planted(range(30)))
    files = tmp_path / settings.application
    with command(environment_for(settings), tmp_path / "first") as one:
        one.wait_for(lambda: len(list(files.glob("checkpoint-*[0-9]"))) == 2)
        one.process.kill()
        one.process.wait()
    kept = newest_checkpoint(settings, tmp_path)
    assert kept is not None
    progress = kept.progress
    assert progress.events == 64 * sum(progress.taken.values()) > 0
    send_tasks(settings, planted(range(30, 40)))

    def learned() -> int:
        found = newest_checkpoint(settings, tmp_path)
        return found.progress.events if found else 0

    with command(environment_for(settings), tmp_path / "second") as again:
        assert again.events_at_start() == progress.events
        again.wait_for(lambda: learned() >= 40 * 64)
        again.process.send_signal(signal.SIGTERM)
        assert again.process.wait(LIMIT_S) == 0, again.said()
    last = newest_checkpoint(settings, tmp_path)
    assert last is not None
    assert (last.progress.events, last.progress.taken) == (40 * 64, {0: 20, 1: 20})


def test_a_published_version_that_the_checkpoint_missed_is_adopted(
    quick: Settings, tmp_path: Path
) -> None:
    """Killed after publishing and before the next checkpoint: the topic says what is live."""
    ensure_topics(quick)
    learn = quick.learn.model_copy(update={"checkpoint": str(tmp_path), "checkpoint_every_s": 900})
    settings = quick.model_copy(update={"learn": learn})
    send_tasks(settings, planted(range(8)))
    with running(settings) as one:
        one.run_until(lambda: one.metric("metarec_learner_tasks_total") == 8 * 64)
        had = int(one.metric("metarec_published_version"))
    send_tasks(settings, planted(range(8, 40)))
    with running(settings) as killed:
        killed.service.run = interrupted(killed.service.run)  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            killed.run_until(lambda: killed.metric("metarec_published_version") > had)
        published = int(killed.metric("metarec_published_version"))
    kept = newest_checkpoint(settings, tmp_path)
    assert kept is not None
    assert kept.progress.version == had
    newest = versions_on(settings, published)[-1]
    with running(settings) as again:
        assert again.metric("metarec_published_version") == published
        left = 40 - sum(newest.task_offsets.values())
        again.run_until(lambda: again.metric("metarec_learner_tasks_total") >= left * 64)
        assert again.metric("metarec_learner_tasks_total") == left * 64


def interrupted(run: Callable[..., None]) -> Callable[..., None]:
    """A loop that dies where another would stop: no checkpoint is written."""

    def dies(stop: threading.Event, on_turn: Callable[[], None]) -> None:
        def on_dying_turn() -> None:
            on_turn()
            if stop.is_set():
                raise KeyboardInterrupt

        run(stop, on_dying_turn)

    return dies


@pytest.mark.timeout(600)
def test_torchrun_runs_two_processes_that_end_together(quick: Settings, tmp_path: Path) -> None:
    """Rank 0 alone consumes and publishes; SIGTERM to the follower alone ends both cleanly."""
    ensure_topics(quick)
    send_tasks(quick, planted(range(30)))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    with command(environment_for(quick), tmp_path / "log", *launcher) as one:
        one.wait_for(lambda: one.said().count("meta_version_published") >= 2)
        assert one.said().count("learner_started") == one.said().count("learner_follows") == 1
        assert "processes=2" in one.said()
        children = psutil.Process(one.process.pid).children()
        (follower,) = [child for child in children if child.environ().get("RANK") == "1"]
        follower.terminate()
        assert one.process.wait(LIMIT_S) == 0, one.said()
        assert one.said().count("learner_stopped") == 2
