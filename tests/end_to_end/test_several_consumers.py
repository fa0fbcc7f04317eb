"""Several consumers of one group: partitions move, and every event is answered exactly once."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from metarec_stream.client.producer import InteractionProducer
from metarec_stream.commands.config import as_toml
from metarec_stream.config import Settings
from metarec_stream.contract.codec import decode_recommendation
from metarec_stream.contract.interaction import Interaction
from metarec_stream.kafka.topics import ensure_topics
from tests.deploy.live import Service, wait_for
from tests.transport.backends import read_committed

EVENTS = 600


class Shop:
    """Posts events steadily until all are posted."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wait = threading.Event()
        self._thread = threading.Thread(target=self._post)
        self.posted = 0

    def __enter__(self) -> Shop:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _post(self) -> None:
        with InteractionProducer(self._settings.kafka, topics=self._settings.topics) as producer:
            for number in range(EVENTS):
                user, item = f"user-{number % 40}", f"item-{number % 13}"
                producer.post(Interaction(user=user, item=item, event_id=str(number)))
                self.posted += 1
                self._wait.wait(0.03)


def answered(settings: Settings) -> Counter[str]:
    """How often each `rec_id` was published."""
    records = read_committed(settings, settings.topics.recommendations)
    return Counter(
        decode_recommendation(record.value or b"", dict(record.headers)["content-type"]).rec_id
        for record in records
    )


@pytest.mark.timeout(300)
def test_members_come_and_are_killed_and_each_event_is_answered_once(
    settings: Settings, tmp_path: Path
) -> None:
    """A second member joins under load, the first is killed -9: nothing is lost or doubled."""
    settings = settings.model_copy(update={"emit": "per_event"})
    config = tmp_path / "metarec.toml"
    config.write_text(as_toml(settings, {}))
    ensure_topics(settings)
    with ExitStack() as members:
        first = members.enter_context(Service("serve", config, tmp_path / "first.log"))
        first.ready()
        with Shop(settings) as shop:
            wait_for(lambda: len(answered(settings)) > EVENTS // 8, "the first member answers")
            second = members.enter_context(Service("serve", config, tmp_path / "second.log"))
            second.ready()
            wait_for(lambda: shop.posted > EVENTS // 2, "both have had events")
            first.kill()
        wait_for(lambda: len(answered(settings)) == EVENTS, "every event is answered")
    assert set(answered(settings).values()) == {1}
