"""`metarec serve` forgets users who do not come back, killed in between, and is verified."""

from __future__ import annotations

import json
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from kafka import KafkaProducer

from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.kafka.connection import client_options
from metarec_stream.verify.kafka_log import KafkaLog
from metarec_stream.verify.verification import Verification
from tests.service.test_crashes import changelog
from tests.service.test_serve import Serve, committed
from tests.transport.backends import wait_until

USERS, TTL_S = 30, 60.0


def post(settings: Settings, users: list[str], at_s: float) -> None:
    """One event of each at that time, in every partition: time goes on in all of them."""
    producer = KafkaProducer(**client_options(settings.kafka))
    ts = round(at_s * 1_000)
    for number, user in enumerate(users):
        partition = number % settings.topics.partitions
        value = json.dumps({"user": user, "item": f"i{number % 7}", "ts": ts}).encode()
        producer.send(settings.topics.interactions, value=value, partition=partition)
    producer.flush(timeout=10)
    producer.close(timeout=5)


@pytest.mark.timeout(300)
def test_who_does_not_come_back_is_in_neither_memory_nor_disk_nor_changelog(
    settings: Settings, started: list[Serve], tmp_path: Path
) -> None:
    """The process that forgets them is killed before it has said so; the next one forgets anew."""

    def start(**more: str) -> Serve:
        serve = Serve(
            settings, INSTANCE_ID="one", EMIT="per_event", STATE__CHECKPOINT_EVERY_S="0.2",
            STATE__MAX_HOT_USERS="3", STATE__FOLDER=str(tmp_path), STATE__TTL_S=str(TTL_S),
            GUARD__LATENESS_S=str(TTL_S), **more,
        )  # fmt: skip
        started.append(serve)
        return serve

    gone, back = [f"gone{n}" for n in range(USERS)], [f"back{n}" for n in range(USERS)]
    # Times of events, so that who expires does not depend on how long a process takes to start.
    begin = time.time() - 3 * TTL_S
    first = start()
    wait_until(partial(first.said, "serving"), 90)
    post(settings, gone + back, begin)
    wait_until(lambda: committed(settings) == 2 * USERS, 60)
    post(settings, back, begin + TTL_S - 10)
    wait_until(lambda: committed(settings) == 3 * USERS, 60)
    assert first.end() == 0
    second = start(CRASH_AT="in-checkpoint:1")
    wait_until(partial(second.said, "serving"), 90)
    post(settings, back, begin + 2 * TTL_S - 20)
    second.process.wait(timeout=60)
    third = start()
    wait_until(partial(third.said, "serving"), 90)
    wait_until(lambda: committed(settings) == 4 * USERS, 60)
    wait_until(lambda: third.sample("metarec_users_expired_total") == USERS, 60)
    gauges = ("metarec_users", "metarec_users_cold")
    wait_until(lambda: sum(map(third.sample, gauges)) == USERS, 60)
    assert third.end() == 0

    rules = {
        "emit": "per_event",
        "state": settings.state.model_copy(update={"ttl_s": TTL_S}),
        "guard": settings.guard.model_copy(update={"lateness_s": TTL_S}),
    }
    partitions = range(settings.topics.partitions)
    assert sum(changelog(settings, each)[0].users for each in partitions) == USERS
    ruled = settings.model_copy(update=rules)
    with closing(KafkaLog(ruled)) as log:
        certificate = Verification(ruled, log, SystemClock()).certificate()
    assert certificate.verdict == "certified"
