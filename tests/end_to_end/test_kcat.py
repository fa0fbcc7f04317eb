"""Any client can post and read: kcat against `metarec serve`, as the README shows it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metarec_stream.config import Settings
from metarec_stream.demo.environment import environment_of
from metarec_stream.demo.measurements import not_ready
from metarec_stream.demo.processes import Subcommands, free_port
from metarec_stream.pipeline.settings import OutputSettings
from tests.debian import needs

pytestmark = [needs("kcat"), pytest.mark.timeout(240)]


@pytest.fixture
def serving(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a consumer that runs, is ready and answers in JSON."""
    http = settings.http.model_copy(update={"port": free_port()})
    settings = settings.model_copy(update={"http": http, "output": OutputSettings(format="json")})
    subcommands = Subcommands(tmp_path)
    subcommands.start(["serve"], environment_of(settings))
    try:
        deadline = time.monotonic() + 180
        while reason := not_ready(http.port):
            assert time.monotonic() < deadline, f"not ready after 180 s: {reason}"
            subcommands.check(print)
            time.sleep(0.2)
        yield settings
        subcommands.check(print)
    finally:
        subcommands.stop()


def post(settings: Settings, *lines: str) -> None:
    """Records, one a line: key, a bar, value; partitioned as the Java clients do it."""
    subprocess.run(
        [
            *("kcat", "-P", "-b", settings.kafka.bootstrap_servers),
            *("-t", settings.topics.interactions, "-K", "|"),
            *("-X", "topic.partitioner=murmur2_random"),
        ],
        input="".join(f"{line}\n" for line in lines).encode(),
        check=True,
        timeout=30,
    )


def read(settings: Settings, topic: str, count: int) -> list[dict[str, Any]]:
    """The first committed records of a topic as kcat prints them; fails after 30 s."""
    deadline = time.monotonic() + 30
    while True:
        done = subprocess.run(
            [
                *("kcat", "-C", "-b", settings.kafka.bootstrap_servers, "-t", topic),
                *("-o", "beginning", "-e", "-q", "-J", "-X", "isolation.level=read_committed"),
            ],
            capture_output=True,
            check=True,
            timeout=30,
        )
        records = [json.loads(line) for line in done.stdout.splitlines()]
        if len(records) >= count:
            return records
        assert time.monotonic() < deadline, f"{len(records)} of {count} records came"


def headers_of(record: dict[str, Any]) -> dict[str, str]:
    """As kcat's JSON has them: name, value, name, value."""
    pairs = record["headers"]
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def test_json_in_json_out(serving: Settings) -> None:
    """The answer is JSON under the user's key and recommends what nobody ever announced."""
    post(
        serving,
        'ann|{"user": "ann", "item": "mug", "type": "purchase"}',
        'bob|{"user": "bob", "item": "heart", "type": "purchase"}',
    )
    post(serving, 'ann|{"user": "ann", "item": "heart", "event_id": "e-1"}')
    topic = serving.topics.recommendations
    records = read(serving, topic, 3)
    anns = [json.loads(record["payload"]) for record in records if record["key"] == "ann"]
    newest = anns[-1]
    assert newest["user"] == "ann"
    assert {place["item"] for place in newest["items"]} == {"mug", "heart"}
    assert newest["rec_id"].startswith(f"{serving.topics.interactions}/")
    assert newest["meta_version"] == 0
    ours = [record for record in records if record["key"] == "ann"]
    assert {record["partition"] for record in ours} == {newest["source"]["partition"]}
    assert headers_of(ours[-1])["content-type"] == "application/json"


def test_a_broken_record_is_in_the_dead_letters_with_its_reason(serving: Settings) -> None:
    """Byte for byte, with where it came from; the records around it are answered."""
    broken = '{"user": "ann", "item": '
    post(
        serving,
        'ann|{"user": "ann", "item": "mug"}',
        f"ann|{broken}",
        'ann|{"user": "", "item": "mug"}',
        'bob|{"user": "bob", "item": "mug"}',
    )
    letters = read(serving, serving.topics.dead_letters_topic(), 2)
    assert [letter["payload"] for letter in letters] == [broken, '{"user": "", "item": "mug"}']
    assert {letter["key"] for letter in letters} == {"ann"}
    first, second = (headers_of(letter) for letter in letters)
    assert first["metarec-reason"] == "undecodable"
    assert first["metarec-topic"] == serving.topics.interactions
    assert int(first["metarec-offset"]) + 1 == int(second["metarec-offset"])
    assert second["metarec-reason"] == "invalid"
    assert "user" in second["metarec-detail"]
    answered = {record["key"] for record in read(serving, serving.topics.recommendations, 2)}
    assert answered == {"ann", "bob"}
