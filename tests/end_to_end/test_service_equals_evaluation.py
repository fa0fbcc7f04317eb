"""The service on Kafka gives the lists that an evaluation of the same events gives."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from kafka import KafkaProducer

from metarec_stream.client.subscriber import RecommendationSubscriber
from metarec_stream.commands.config import as_toml
from metarec_stream.config import Settings
from metarec_stream.contract.codec import decode_recommendation, encode_interaction
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.meta_version_codec import encode_meta_version
from metarec_stream.contract.recommendation import Recommendation
from metarec_stream.contract.transport import Output
from metarec_stream.evaluate.replay import Replay
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.learner.settings import GateSettings, LearnSettings
from metarec_stream.pipeline.recommender import RankProtocol
from tests.deploy.live import service, wait_for
from tests.stream import random_interactions

EVENTS, TURN = 700, 100
Posted = tuple[Output, int]


def events_of(settings: Settings) -> list[Posted]:
    """Records for the input's one partition, and their timestamps."""
    posted = []
    for interaction in random_interactions(EVENTS, seed=11, users=20, items=60):
        value, headers = encode_interaction(interaction)
        key = interaction.user.encode()
        output = Output(settings.topics.interactions, 0, key, value, headers)
        posted.append((output, interaction.ts or 0))
    return posted


def evaluated(
    events: list[Posted], settings: Settings
) -> tuple[list[Recommendation], dict[int, MetaVersion]]:
    """The lists of the in-memory run, and the versions by the offset where they took over."""
    versions: dict[int, MetaVersion] = {}
    replay = Replay(settings, RankProtocol(), on_version=versions.__setitem__)
    answers = []
    for start in range(0, EVENTS, TURN):
        for output in replay.step(events[start : start + TURN]).outputs:
            if output.topic == settings.topics.recommendations:
                content_type = dict(output.headers)["content-type"]
                answers.append(decode_recommendation(output.value or b"", content_type))
    return answers, versions


def served(
    events: list[Posted], versions: dict[int, MetaVersion], settings: Settings, folder: Path
) -> list[Recommendation]:
    """The lists of a live service that meets the versions at the same offsets."""
    config = folder / "metarec.toml"
    config.write_text(as_toml(settings, {}))
    ensure_topics(settings)
    producer = KafkaProducer(**client_options(settings.kafka))
    answers: list[Recommendation] = []
    subscriber = RecommendationSubscriber(settings.kafka, topics=settings.topics)
    with service("serve", config, folder / "serve.log") as port, subscriber:
        committed = iter(subscriber)
        for start in range(0, EVENTS, TURN):
            if start in versions:
                take_up(versions[start], producer, settings, port)
            for output, timestamp in events[start : start + TURN]:
                producer.send(
                    output.topic, output.value, output.key, list(output.headers), 0, timestamp
                )
            producer.flush()
            while len(answers) < start + TURN:
                answers.append(next(committed))
    producer.close()
    return answers


def take_up(version: MetaVersion, producer: KafkaProducer, settings: Settings, port: int) -> None:
    """Publish a version and wait until the service ranks with it."""
    for key, value in encode_meta_version(version):
        producer.send(settings.topics.meta, value, key)
    producer.flush()
    address = f"http://127.0.0.1:{port}/metrics"
    live = f"\nmetarec_meta_version {version.version}.0\n"

    def says_so() -> bool:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return live in answer.read().decode()

    wait_for(says_so, f"version {version.version} is live")


@pytest.mark.timeout(240)
def test_service_and_evaluation_give_the_same_lists(settings: Settings, tmp_path: Path) -> None:
    """One partition, `per_event`, the same versions at the same offsets: items, scores, reasons."""
    settings = settings.model_copy(
        update={
            "emit": "per_event",
            "topics": settings.topics.model_copy(update={"partitions": 1}),
            "learn": LearnSettings(block=50, sample_per_batch=TURN, publish_every_s=0.0),
            "gate": GateSettings(window=64, minimum=16, confidence=0.0),
        }
    )
    events = events_of(settings)
    expected, versions = evaluated(events, settings)
    assert len(versions) >= 2, "the learner published too little for a test"
    answers = served(events, versions, settings, tmp_path)

    def content(answer: Recommendation) -> tuple[object, ...]:
        return answer.rec_id, answer.user, answer.meta_version, answer.event_ts, answer.items

    assert [content(answer) for answer in answers] == [content(answer) for answer in expected]
    assert len(expected) == EVENTS
