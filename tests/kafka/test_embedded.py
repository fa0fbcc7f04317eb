"""The embedded Kafka: it answers, keeps what it is given to keep, and is never left behind."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaProducer

from metarec_stream.errors import Fatal
from metarec_stream.kafka.embedded import HOST, EmbeddedBroker

STARTS_AND_WAITS = """
import sys, threading
from pathlib import Path
from metarec_stream.kafka.embedded import EmbeddedBroker

broker = EmbeddedBroker(Path(sys.argv[1]), None, lambda line: None)
print(broker.process_id, flush=True)
threading.Event().wait()
"""


def ended_within(process_id: int, seconds: float) -> bool:
    """Whether the process is gone before the time is over."""
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(process_id):
        if psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_transactions_work_at_once(broker: Any, unique: str) -> None:
    """As soon as it is called ready, a transactional producer can commit a record."""
    with KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers) as admin:
        admin.create_topics({unique: {"num_partitions": 1}}, wait_for_metadata=True)
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers, transactional_id=unique)
    producer.init_transactions()
    producer.begin_transaction()
    sent = producer.send(unique, value=b"1")
    producer.commit_transaction()
    assert sent.get(10).offset == 0
    producer.close()


def test_a_data_folder_keeps_topics_over_restarts(tmp_path: Path, unique: str) -> None:
    """What was written is there after a stop and a start; the stopped process is gone."""
    folder = tmp_path / "kept"
    with EmbeddedBroker(folder, None, lambda _: None) as first:
        process_id = first.process_id
        assert process_id is not None
        with KafkaAdminClient(bootstrap_servers=first.bootstrap_servers) as admin:
            admin.create_topics({unique: {"num_partitions": 3}}, wait_for_metadata=True)
    assert not psutil.pid_exists(process_id)
    with (
        EmbeddedBroker(folder, None, lambda _: None) as second,
        KafkaAdminClient(bootstrap_servers=second.bootstrap_servers) as admin,
    ):
        (topic,) = admin.describe_topics([unique])
        assert len(topic["partitions"]) == 3


def test_it_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    """A kill -9 of the parent leaves no broker behind."""
    command = [sys.executable, "-c", STARTS_AND_WAITS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process_id = int(parent.stdout.readline())
        assert psutil.Process(process_id).is_running()
        parent.kill()
    assert ended_within(process_id, 5.0)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """Nothing is started, and nothing written, on a port that somebody else has."""
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Fatal, match=f"Port {port} .* in use"):
            EmbeddedBroker(tmp_path / "none", port, lambda _: None)
    assert not (tmp_path / "none").exists()


def test_a_kafka_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error carries what Java said and the way out; the temporary folder is gone."""
    libs = tmp_path / "kafka" / "libs"
    libs.mkdir(parents=True)
    (libs / "kafka_2.13-0.0.0.jar").touch()
    monkeypatch.setenv("KAFKA_HOME", str(libs.parent))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(Fatal, match=r"kafka\.tools\.StorageTool.*METAREC_KAFKA__BOOTSTRAP_SERVERS"):
        EmbeddedBroker(None, None, lambda _: None)
    assert list(tmp_path.iterdir()) == [libs.parent]
