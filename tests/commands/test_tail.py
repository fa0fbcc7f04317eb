"""`metarec tail`: prints recommendations as they come."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from threading import Thread

from kafka import KafkaProducer

from metarec_stream.config import Settings
from metarec_stream.contract.codec import encode
from metarec_stream.contract.partitioner import partition_of
from metarec_stream.contract.recommendation import (
    Recommendation,
    RecommendedItem,
    SourcePosition,
)
from metarec_stream.demo.environment import environment_of
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.settings import KafkaSettings
from metarec_stream.kafka.topics import ensure_topics


def publish(settings: Settings, *users: str) -> None:
    """One list for each, as the service writes it."""
    producer = KafkaProducer(**client_options(settings.kafka))
    for offset, user in enumerate(users):
        value, headers = encode(
            Recommendation(
                rec_id=f"interactions/0/{offset}",
                user=user,
                items=[RecommendedItem(item=f"for-{user}", score=0.75)],
                ts=2,
                event_ts=1,
                meta_version=4,
                adapter="value-sum",
                arm="default",
                source=SourcePosition(topic="interactions", partition=0, offset=offset),
            ),
            "msgpack",
        )
        producer.send(
            settings.topics.recommendations,
            value,
            key=user.encode(),
            headers=list(headers),
            partition=partition_of(user.encode(), settings.topics.partitions),
        )
    producer.close()


class Tail:
    """The program while it runs, and its lines as they come."""

    def __init__(self, settings: Settings, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "metarec_stream", "tail", *arguments],
            env=environment_of(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: Queue[str] = Queue()
        self._reader = Thread(target=self._read)
        self._reader.start()

    def lines(self, count: int) -> list[str]:
        """The next lines; fails after 30 s."""
        deadline = time.monotonic() + 30
        return [self._lines.get(timeout=deadline - time.monotonic()) for _ in range(count)]

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send it a signal: its exit status and what it said on standard error."""
        self.process.send_signal(number)
        status = self.process.wait(20)
        self._reader.join()
        assert self.process.stderr is not None
        return status, self.process.stderr.read()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))


@contextmanager
def tailing(settings: Settings, *arguments: str) -> Iterator[Tail]:
    """The program; killed at the end if it still runs."""
    tail = Tail(settings, *arguments)
    try:
        yield tail
    finally:
        tail.end(signal.SIGKILL)
        for stream in (tail.process.stdout, tail.process.stderr):
            assert stream is not None
            stream.close()


def test_it_prints_what_is_kept_and_then_what_comes(settings: Settings) -> None:
    """A line each, with user, version and items; Ctrl-C ends it with status 0."""
    ensure_topics(settings)
    publish(settings, "ann")
    with tailing(settings, "--from-beginning") as tail:
        assert tail.lines(1) == ["ann  [version 4]  for-ann (0.75)"]
        publish(settings, "bob")
        assert tail.lines(1) == ["bob  [version 4]  for-bob (0.75)"]
        status, log = tail.end(signal.SIGINT)
        assert status == 0
        assert "Traceback" not in log


def test_json_of_one_user(settings: Settings) -> None:
    """Each line is the whole message; other users' are not printed."""
    ensure_topics(settings)
    publish(settings, "ann", "bob", "ann")
    with tailing(settings, "--from-beginning", "--json", "--user", "ann") as tail:
        messages = [json.loads(line) for line in tail.lines(2)]
    assert [message["rec_id"] for message in messages] == ["interactions/0/0", "interactions/0/2"]
    assert messages[0]["items"][0]["item"] == "for-ann"


def test_no_broker_is_one_line() -> None:
    """Status 1, the setting named, no stack trace."""
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:1", connect_timeout_s=1.0)
    done = subprocess.run(
        [sys.executable, "-m", "metarec_stream", "tail"],
        env=environment_of(Settings(kafka=nowhere)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "METAREC_KAFKA__BOOTSTRAP_SERVERS" in done.stderr
    assert "Traceback" not in done.stderr
