"""`metarec serve` as a process of its own, against a real broker."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from metarec_stream.config import Settings
from metarec_stream.contract.codec import decode_recommendation
from metarec_stream.contract.recommendation import Recommendation
from metarec_stream.contract.transport import Record
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.embedded import EmbeddedBroker
from metarec_stream.kafka.source import reading_options
from tests.transport.backends import read_committed, wait_until

NO_TORCH = """
import sys
import metarec_stream.commands.serve, metarec_stream.service.process
import metarec_stream.pipeline.recommender
print("torch" in sys.modules)
"""


class Serve:
    """A running `metarec serve` with a test's settings, and what it logs."""

    def __init__(self, settings: Settings, **changes: str) -> None:
        topics = settings.topics
        environment = {
            "METAREC_APPLICATION": settings.application,
            "METAREC_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "METAREC_KAFKA__GROUP": settings.kafka.group,
            "METAREC_TOPICS__PARTITIONS": str(topics.partitions),
            "METAREC_HTTP__PORT": "0",
            "METAREC_LOG__FORMAT": "json",
            **{
                f"METAREC_TOPICS__{name.upper()}": getattr(topics, name)
                for name in ("interactions", "recommendations", "tasks", "state", "items")
            },
            "METAREC_TOPICS__USERS": topics.users,
            "METAREC_TOPICS__META": topics.meta,
        }
        environment.update({f"METAREC_{name}": value for name, value in changes.items()})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "consumer"],
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.logged: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def said(self, event: str) -> dict[str, Any] | None:
        """The first event of this name in the log."""
        return next((line for line in self.logged if line["event"] == event), None)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body, once the process serves HTTP."""
        wait_until(lambda: self.said("http_serving") is not None, 60)
        serving = self.said("http_serving")
        assert serving is not None
        connection = http.client.HTTPConnection("127.0.0.1", serving["port"], timeout=10)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()

    def reasons(self) -> dict[str, str]:
        """What it still waits for."""
        reasons: dict[str, str] = json.loads(self.get("/readyz")[1])["reasons"]
        return reasons

    def wait_ready(self) -> None:
        wait_until(lambda: self.get("/readyz")[0] == 200, 90)

    def sample(self, name: str) -> float:
        """A metric without labels."""
        lines = self.get("/metrics")[1].splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.logged.append(json.loads(line))


def post(settings: Settings, *events: tuple[str, str, str]) -> None:
    """Interactions (user, item, event id) as JSON, as any client would send them."""
    producer = KafkaProducer(**client_options(settings.kafka))
    for user, item, event_id in events:
        value = json.dumps({"user": user, "item": item, "event_id": event_id}).encode()
        producer.send(settings.topics.interactions, key=user.encode(), value=value)
    producer.flush(timeout=10)
    producer.close(timeout=5)


def lists(settings: Settings) -> list[Recommendation]:
    """What subscribers see."""

    def decode(record: Record) -> Recommendation:
        assert record.value is not None
        return decode_recommendation(record.value, dict(record.headers).get("content-type"))

    return [decode(each) for each in read_committed(settings, settings.topics.recommendations)]


def committed(settings: Settings) -> int:
    """How many interactions the group has behind it."""
    consumer = KafkaConsumer(**reading_options(settings), group_id=settings.kafka.group)
    try:
        found = [
            consumer.committed(TopicPartition(settings.topics.interactions, number)) or 0
            for number in range(settings.topics.partitions)
        ]
        return sum(found)
    finally:
        consumer.close()


def test_lists_come_back_and_a_restart_rebuilds_the_state_without_publishing(
    settings: Settings, started: list[Serve]
) -> None:
    """One list for each event; after a restart nobody is answered twice, and users are known."""
    events = [(f"u{number % 5}", f"i{number % 7}", f"e{number}") for number in range(40)]
    serve = Serve(settings, EMIT="per_event")
    started.append(serve)
    assert set(serve.reasons()) >= {"partitions"}
    serve.wait_ready()
    post(settings, *events)
    wait_until(lambda: len(lists(settings)) >= len(events))
    answered = lists(settings)
    assert len({answer.rec_id for answer in answered}) == len(answered) == len(events)
    assert all(answer.items and answer.meta_version == 0 for answer in answered)
    assert serve.sample("metarec_recommendation_latency_seconds_count") == len(events)
    wait_until(lambda: serve.sample("metarec_users") == 5)
    assert serve.end(signal.SIGTERM) == 0
    assert committed(settings) == len(events)

    again = Serve(settings, EMIT="per_event")
    started.append(again)
    again.wait_ready()
    restored = [line for line in again.logged if line["event"] == "partition_restored"]
    assert sum(line["users"] for line in restored) == 5
    assert sum(line["replayed"] for line in restored) == 0
    wait_until(lambda: again.sample("metarec_users") == 5)
    assert len(lists(settings)) == len(events)
    # An event id from before the restart is known: the guard's state was rebuilt, too.
    post(settings, events[0], ("u0", "new", "e-new"))
    wait_until(lambda: committed(settings) == len(events) + 2)
    before = {answer.rec_id for answer in answered}
    [newest] = [answer for answer in lists(settings) if answer.rec_id not in before]
    assert newest.user == "u0"
    assert "i0" in {place.item for place in newest.items}
    assert again.end(signal.SIGINT) == 0


def test_a_start_without_brokers_says_so_and_gives_up(
    settings: Settings, started: list[Serve]
) -> None:
    """503 with the reason meanwhile; then one line that names the setting, and status 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        serve = Serve(settings, KAFKA__BOOTSTRAP_SERVERS=nobody, KAFKA__CONNECT_TIMEOUT_S="4")
        started.append(serve)
        assert nobody in serve.reasons()["brokers"]
        assert serve.get("/livez")[0] == 200
        assert serve.process.wait(timeout=60) == 1
    wait_until(lambda: serve.said("fatal") is not None)
    fatal = serve.said("fatal")
    assert fatal is not None
    assert "METAREC_KAFKA__BOOTSTRAP_SERVERS" in fatal["reason"]


def test_a_signal_while_it_waits_for_brokers_ends_it_cleanly(
    settings: Settings, started: list[Serve]
) -> None:
    """Nothing was begun: status 0, at once."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        serve = Serve(settings, KAFKA__BOOTSTRAP_SERVERS=nobody)
        started.append(serve)
        assert "brokers" in serve.reasons()
        assert serve.end() == 0


def test_brokers_that_go_away_end_the_process(settings: Settings, started: list[Serve]) -> None:
    """Also with no record to publish: status 1, and the reason names the brokers."""
    with EmbeddedBroker(None, None, lambda _: None) as broker:
        kafka = settings.kafka.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        serve = Serve(settings.model_copy(update={"kafka": kafka}), KAFKA__CONNECT_TIMEOUT_S="5")
        started.append(serve)
        serve.wait_ready()
        broker.stop()
        assert serve.process.wait(timeout=60) == 1
    wait_until(lambda: serve.said("fatal") is not None)
    fatal = serve.said("fatal")
    assert fatal is not None
    assert broker.bootstrap_servers in fatal["reason"]


def test_the_process_imports_no_torch() -> None:
    """It would cost seconds and a gigabyte."""
    found = subprocess.run(
        [sys.executable, "-c", NO_TORCH], capture_output=True, text=True, timeout=100, check=True
    )
    assert found.stdout.strip() == "False"
