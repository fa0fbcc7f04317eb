"""`metarec produce`: what it posts, how fast, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from kafka import KafkaConsumer, TopicPartition

from metarec_stream.config import Settings
from metarec_stream.contract.codec import content_type_of, decode_map
from metarec_stream.datasets.settings import SyntheticSettings
from metarec_stream.datasets.synthetic import synthetic_stream
from metarec_stream.demo.environment import environment_of
from metarec_stream.evaluate.dataset import table_of
from metarec_stream.kafka.connection import client_options

NOW_MS = 1_700_000_000_000


def produce(
    settings: Settings, *arguments: str, module: tuple[str, ...] = ("metarec_stream", "produce")
) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [sys.executable, "-m", *module, *arguments],
        env=environment_of(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def posted(settings: Settings, topic: str, partitions: int = 2) -> list[tuple[Any, dict[str, Any]]]:
    """Every record of a topic with its message, by time of posting."""
    consumer = KafkaConsumer(
        **client_options(settings.kafka), auto_offset_reset="earliest", enable_auto_commit=False
    )
    try:
        chosen = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(chosen)
        ends = consumer.end_offsets(chosen)
        records: list[Any] = []
        while any(consumer.position(each) < ends[each] for each in chosen):
            for found in consumer.poll(timeout_ms=500).values():
                records += found
    finally:
        consumer.close()
    messages = [decode_map(each.value, content_type_of(each.headers)) for each in records]
    return list(zip(records, messages, strict=True))


def write(file: Path, columns: dict[str, list[Any]]) -> Path:
    """A file of events, by the kind that its name says."""
    frame = pl.DataFrame(columns)
    if file.suffix == ".parquet":
        frame.write_parquet(file)
    elif file.suffix == ".csv":
        frame.write_csv(file)
    else:
        frame.write_ndjson(file)
    return file


def test_online_retail_is_posted_with_its_products(settings: Settings) -> None:
    """The first rows, each once, the last one now; and their products, before any of them."""
    before = time.time_ns() // 1_000_000
    done = produce(settings, "online-retail", "--limit", "300")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("posted 300 interactions and ")
    events = posted(settings, settings.topics.interactions)
    assert len({message["event_id"] for _, message in events}) == 300
    newest = max(message["ts"] for _, message in events)
    assert before <= newest <= time.time_ns() // 1_000_000
    assert all(record.key == message["user"].encode() for record, message in events)
    assert all(record.timestamp >= before for record, _ in events)
    items = posted(settings, settings.topics.items, partitions=1)
    titles = {message["item"]: message["title"] for _, message in items}
    assert titles["85123A"] == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert titles.keys() == {message["item"] for _, message in events}
    latest_item = max(record.timestamp for record, _ in items)
    assert latest_item <= min(record.timestamp for record, _ in events)


def test_the_synthetic_stream_is_posted(settings: Settings) -> None:
    """Its first events, as the settings and the seed draw them, the last one now; no items."""
    made_up = SyntheticSettings(events=500, users=20, change_at=(100,))
    before = time.time_ns() // 1_000_000
    flags = ("--synthetic.events", "500", "--synthetic.users", "20", "--synthetic.change-at", "100")
    done = produce(settings, "synthetic", *flags, "--seed", "3", "--limit", "300")
    assert done.returncode == 0, done.stderr
    messages = [message for _, message in posted(settings, settings.topics.interactions)]
    assert before <= max(message["ts"] for message in messages) <= time.time_ns() // 1_000_000
    expected = table_of(synthetic_stream(made_up, seed=3), limit=300)
    posted_pairs = Counter((message["user"], message["item"]) for message in messages)
    assert posted_pairs == Counter(zip(expected.user, expected.item, strict=True))
    assert posted(settings, settings.topics.items, partitions=1) == []


@pytest.mark.parametrize("name", ["events.parquet", "events.csv", "events.jsonl"])
def test_a_file_is_posted_in_the_order_of_time(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    """With the columns that are named, whatever they are called; `python -m producer` likewise."""
    columns: dict[str, list[Any]] = {
        "who": ["ann", "bob", "ann"],
        "what": ["a", "b", "c"],
        "when": [NOW_MS // 1_000 + 2, NOW_MS // 1_000 + 1, NOW_MS // 1_000],
        "how": ["like", "purchase", "view"],
        "stars": [1.5, 2.5, 3.5],
        "more": ["x", "y", "z"],
    }
    file = write(tmp_path / name, columns)
    flags = [
        "--user",
        "who",
        "--item",
        "what",
        "--time",
        "when",
        "--type",
        "how",
        "--value",
        "stars",
    ]
    done = produce(settings, str(file), *flags, module=("producer",))
    assert done.returncode == 0, done.stderr
    assert "posted 3 interactions in " in done.stdout
    messages = [message for _, message in posted(settings, settings.topics.interactions)]
    assert sorted(messages, key=lambda message: int(message["ts"])) == [
        {"user": "ann", "item": "c", "type": "view", "ts": NOW_MS, "value": 3.5, "v": 1},
        {
            "user": "bob",
            "item": "b",
            "type": "purchase",
            "ts": NOW_MS + 1_000,
            "value": 2.5,
            "v": 1,
        },
        {"user": "ann", "item": "a", "type": "like", "ts": NOW_MS + 2_000, "value": 1.5, "v": 1},
    ]
    assert [message["item"] for message in messages if message["user"] == "ann"] == ["c", "a"]


def test_rows_without_type_or_value_are_clicks(settings: Settings, tmp_path: Path) -> None:
    """Milliseconds are taken as such, and an absent value is not posted."""
    columns: dict[str, list[Any]] = {
        "u": ["ann", "bob"],
        "i": ["a", "b"],
        "t": [NOW_MS, NOW_MS],
        "x": [None, 2.0],
    }
    file = write(tmp_path / "events.parquet", columns)
    flags = ["--user", "u", "--item", "i", "--time", "t", "--time-unit", "ms", "--value", "x"]
    assert produce(settings, str(file), *flags).returncode == 0
    by_user = {m["user"]: m for _, m in posted(settings, settings.topics.interactions)}
    assert by_user["ann"] == {"user": "ann", "item": "a", "type": "click", "ts": NOW_MS, "v": 1}
    assert by_user["bob"]["value"] == 2.0


def test_a_rate_is_kept(settings: Settings) -> None:
    """100 events at 50/s take two seconds, spread evenly."""
    done = produce(settings, "online-retail", "--limit", "100", "--rate", "50/s")
    assert done.returncode == 0, done.stderr
    times = sorted(record.timestamp for record, _ in posted(settings, settings.topics.interactions))
    assert times[-1] - times[0] == pytest.approx(1_980, abs=300)
    assert times[50] - times[0] == pytest.approx(1_000, abs=300)


def test_a_speed_shortens_the_gaps(settings: Settings, tmp_path: Path) -> None:
    """A minute between two events is a second at 60x."""
    seconds = [NOW_MS // 1_000 + gap for gap in (0, 60, 120)]
    columns: dict[str, list[Any]] = {"user": ["ann"] * 3, "item": ["a", "b", "c"], "time": seconds}
    file = write(tmp_path / "events.csv", columns)
    flags = ["--user", "user", "--item", "item", "--time", "time", "--speed", "60x"]
    assert produce(settings, str(file), *flags).returncode == 0
    times = sorted(record.timestamp for record, _ in posted(settings, settings.topics.interactions))
    assert [later - times[0] for later in times] == pytest.approx([0, 1_000, 2_000], abs=250)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--rate", "50/m"], "--rate"),
        (["--speed", "0x"], "--speed"),
        (["--limit", "0"], "--limit"),
        (["--rate", "5", "--speed", "5x"], "exclude each other"),
    ],
)
def test_bad_flags_end_it_before_anything_is_posted(flags: list[str], said: str) -> None:
    """Status 2, the flag named, no stack trace."""
    done = produce(Settings(), "online-retail", *flags)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_needs_its_columns_named(tmp_path: Path) -> None:
    """Guessing would post the wrong thing."""
    file = write(tmp_path / "events.csv", {"user": ["u"], "item": ["i"], "time": [1]})
    done = produce(Settings(), str(file))
    assert done.returncode == 2
    assert "--user, --item and --time" in done.stderr


def test_ctrl_c_ends_it_with_what_was_posted(settings: Settings) -> None:
    """Status 130, a line that says how many, all of these in Kafka, no stack trace."""
    process = subprocess.Popen(
        [sys.executable, "-m", "metarec_stream", "produce", "online-retail", "--rate", "100/s"],
        env={**environment_of(settings), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_some(settings)
    os.kill(process.pid, signal.SIGINT)
    said, log = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.startswith("interrupted after posting ")
    assert "Traceback" not in log
    count = len(posted(settings, settings.topics.interactions))
    assert f"posting {count:,} interactions" in said


def wait_for_some(settings: Settings) -> None:
    """Return once events arrive; fails after 30 s."""
    consumer = KafkaConsumer(
        **client_options(settings.kafka), auto_offset_reset="earliest", enable_auto_commit=False
    )
    deadline = time.monotonic() + 30
    try:
        while not consumer.partitions_for_topic(settings.topics.interactions):
            assert time.monotonic() < deadline, "the topic was not created"
            time.sleep(0.1)
        consumer.assign([TopicPartition(settings.topics.interactions, 0)])
        while not consumer.poll(timeout_ms=500):
            assert time.monotonic() < deadline, "nothing was posted"
    finally:
        consumer.close()
