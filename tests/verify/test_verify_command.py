"""`metarec verify` against a real broker and a real service, running, stopped and forged."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer
from structlog.testing import capture_logs

from metarec_stream.client.producer import InteractionProducer
from metarec_stream.commands.config import as_toml
from metarec_stream.commands.verify import CERTIFIED, DIFFERENT, verify
from metarec_stream.config import Settings
from metarec_stream.contract.codec import content_type_of, decode_recommendation
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.transport import Record
from metarec_stream.hashing import hash64
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.settings import KafkaSettings
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.state.header import HEADER_KEY, decode_header, encode_header
from metarec_stream.state.row import user_key
from tests.conftest import RunningBroker, settings_of
from tests.deploy.live import service, wait_for
from tests.transport.backends import read_committed

EVENTS = 300
Rows = Sequence[Record]
Forged = list[tuple[int, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]]
"""Partition, key, value and headers of the records of a topic."""


@dataclass(frozen=True)
class Run:
    """A service's run that has ended."""

    settings: Settings
    live: int
    """What `verify` returned while it ran under load."""


def post(settings: Settings, halfway: threading.Event) -> None:
    """Good events, duplicates among them, and some that nobody can read."""
    with InteractionProducer(settings.kafka, topics=settings.topics) as producer:
        for number in range(EVENTS):
            user, item = f"user-{number % 23}", f"item-{number % 13}"
            event = Interaction(user=user, item=item, event_id=str(number) if number % 2 else None)
            for _ in range(2 if number % 10 == 1 else 1):
                producer.post(event)
            if number == EVENTS // 2:
                producer.flush()
                halfway.set()
            if number > EVENTS // 2:
                threading.Event().wait(0.01)
    with closing(KafkaProducer(**client_options(settings.kafka))) as raw:
        for partition in (0, 1):
            raw.send(settings.topics.interactions, b"{", b"key", partition=partition)
        raw.flush()


@pytest.fixture(scope="module")
def run(broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Both partitions served, under load verified, then stopped."""
    folder = tmp_path_factory.mktemp("verify")
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    settings = settings_of(f"verify-{folder.name[-4:]}-{id(folder) % 9_999}", kafka)
    state = settings.state.model_copy(update={"checkpoint_every_s": 0.3})
    settings = settings.model_copy(update={"emit": "per_event", "state": state})
    config = folder / "metarec.toml"
    config.write_text(as_toml(settings, {}))
    ensure_topics(settings)
    halfway = threading.Event()
    with service("serve", config, folder / "serve.log"):
        poster = threading.Thread(target=post, args=(settings, halfway))
        poster.start()
        assert halfway.wait(60)
        wait_for(lambda: _has_headers(settings), "both partitions are checkpointed")
        live = verify(settings=settings)
        poster.join()
        letters = settings.topics.dead_letters_topic()
        wait_for(lambda: len(read_committed(settings, letters)) == 2, "all is taken")
    return Run(settings, live)


def _has_headers(settings: Settings) -> bool:
    records = read_committed(settings, settings.topics.state)
    return {record.partition for record in records if record.key == HEADER_KEY} == {0, 1}


@pytest.mark.timeout(240)
def test_a_run_is_certified_while_it_lasts_and_after_it(run: Run, tmp_path: Path) -> None:
    """Status 0, a table, and the certificate as JSON with numbers that add up."""
    config, path = tmp_path / "metarec.toml", tmp_path / "certificate.json"
    config.write_text(as_toml(run.settings, {}))
    command = [sys.executable, "-m", "metarec_stream", "verify", "--config", str(config)]
    done = subprocess.run([*command, "--json", str(path)], capture_output=True, text=True,
                          timeout=100, check=False)  # fmt: skip
    assert done.returncode == CERTIFIED, done.stderr
    assert "certified" in done.stdout
    certificate = json.loads(path.read_text())
    assert certificate["verdict"] == "certified"
    partitions = certificate["partitions"]
    taken = [sum(each[name] for each in partitions) for name in ("accepted", "duplicates")]
    assert taken == [EVENTS, EVENTS // 10]
    for found in partitions:
        assert found["rejected"] == found["dead_letters"] == 1
        assert found["answers"] == found["answers_required"] == found["accepted"] > 0
        assert found["state_offset"] == found["committed"]
    assert run.live == CERTIFIED


def same(record: Record) -> Forged:
    """The record as it is."""
    return [(record.partition, record.key, record.value, record.headers)]


def alter_row(records: Rows) -> tuple[Forged, str]:
    """One event more in the last row of a user."""
    changed = _last_row(records)
    fields = msgspec.msgpack.decode(changed.value or b"")
    fields[3] += 1
    forged = [each for record in records for each in same(record)]
    forged.append((changed.partition, changed.key, msgspec.msgpack.encode(fields), ()))
    return forged, f"/{changed.partition} at offset * the row of {_user(changed)} is not what"


def remove_row(records: Rows) -> tuple[Forged, str]:
    """A tombstone for a user."""
    changed = _last_row(records)
    forged = [each for record in records for each in same(record)]
    forged.append((changed.partition, changed.key, None, ()))
    return forged, f"/{changed.partition}: the row of {_user(changed)} is missing"


def alter_header(records: Rows) -> tuple[Forged, str]:
    """One accepted event more in the header."""
    [*_, record] = [each for each in records if each.key == HEADER_KEY]
    header = decode_header(record.value or b"", "test")
    value = encode_header(msgspec.structs.replace(header, accepted=header.accepted + 1))
    forged = [each for every in records for each in same(every)]
    forged.append((record.partition, HEADER_KEY, value, ()))
    said = f"says accepted {header.accepted + 1}, expected {header.accepted}"
    return forged, f"/{record.partition} at offset * the header {said}"


def double_answer(records: Rows) -> tuple[Forged, str]:
    """The last answer once more."""
    forged = [each for record in records for each in same(record)]
    last = records[-1]
    said = f"a second recommendation for offset {_answered(last)} of the input"
    return [*forged, *same(last)], f"/{last.partition} at offset * {said}"


def invent_answer(records: Rows) -> tuple[Forged, str]:
    """An answer to an event that never was."""
    last = records[-1]
    message = decode_recommendation(last.value or b"", content_type_of(last.headers))
    fields = msgspec.to_builtins(message)
    fields["source"]["offset"] = 77_777
    fields["rec_id"] = f"{message.source.topic}/{message.source.partition}/77777"
    forged = [each for record in records for each in same(record)]
    forged.append((last.partition, last.key, msgspec.msgpack.encode(fields), last.headers))
    return forged, f"/{last.partition} at offset * it answers offset 77777 of the input"


def lose_answer(records: Rows) -> tuple[Forged, str]:
    """The first answer never came."""
    forged = [each for record in records[1:] for each in same(record)]
    said = f"/{records[0].partition} at offset {_answered(records[0])}"
    return forged, f"{said}: this accepted event has no recommendation"


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("name", "forge"),
    [
        ("state", alter_row),
        ("state", remove_row),
        ("state", alter_header),
        ("recommendations", double_answer),
        ("recommendations", invent_answer),
        ("recommendations", lose_answer),
    ],
)
def test_a_forged_copy_of_a_topic_is_found(
    name: str, forge: Callable[[Rows], tuple[Forged, str]], run: Run, unique: str
) -> None:
    """Status 1, and the first difference names the place; users are hashed."""
    original = getattr(run.settings.topics, name)
    forged, expected = forge(read_committed(run.settings, original))
    topics = run.settings.topics.model_copy(update={name: f"{unique}.{name}"})
    settings = run.settings.model_copy(update={"topics": topics})
    ensure_topics(settings)
    with closing(KafkaProducer(**client_options(settings.kafka))) as producer:
        for partition, key, value, headers in forged:
            producer.send(f"{unique}.{name}", key=key, value=value, headers=list(headers),
                          partition=partition)  # fmt: skip
        producer.flush()
    with capture_logs() as logs:
        assert verify(settings=settings) == DIFFERENT
    [said] = [each for each in logs if each["event"] == "verify_found_a_difference"]
    before, _, after = expected.partition("*")
    assert before in said["first"]
    assert after in said["first"]
    assert said["differences"] == 1
    assert "user-" not in str(logs)


def _last_row(records: Rows) -> Record:
    [*_, record] = [each for each in records if (each.key or b"")[:1] == user_key("")]
    return record


def _user(record: Record) -> str:
    return f"user #{hash64((record.key or b'')[1:].decode()):016x}"


def _answered(record: Record) -> int:
    message = decode_recommendation(record.value or b"", content_type_of(record.headers))
    return message.source.offset
