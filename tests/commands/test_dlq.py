"""`metarec dlq` against a real broker and a real service: rejected, replayed, rejected again."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from kafka import KafkaProducer
from structlog.testing import capture_logs

from metarec_stream.client.subscriber import RecommendationSubscriber
from metarec_stream.clock import SystemClock
from metarec_stream.commands.config import as_toml
from metarec_stream.commands.dlq import REFUSED, _ms, dlq
from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.dead_letters.letter import REPLAYED_FROM, REPLAYS
from metarec_stream.errors import Fatal, Reason
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.settings_sources import BadConfiguration
from tests.deploy.live import service, wait_for
from tests.transport.backends import read_committed

AHEAD_MS = 12_000
UNKNOWN = b'{"user":"ann","item":"lamp","type":"teleport"}'


def letters_of(settings: Settings) -> list[Record]:
    """All dead letters."""
    return read_committed(settings, settings.topics.dead_letters_topic())


def input_of(settings: Settings) -> list[Record]:
    """The input, replays included."""
    return read_committed(settings, settings.topics.interactions)


@pytest.mark.timeout(240)
def test_letters_are_replayed_once_and_do_not_loop(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A `future` event is answered once its time has come; an unknown type comes back, counted."""
    guard = settings.guard.model_copy(update={"skew_s": 1.0})
    topics = settings.topics.model_copy(update={"partitions": 1})
    settings = settings.model_copy(update={"guard": guard, "topics": topics})
    config = tmp_path / "metarec.toml"
    config.write_text(as_toml(settings, {}))
    ensure_topics(settings)
    headers = [("content-type", b"application/json"), ("trace", b"\xff")]
    with (
        RecommendationSubscriber(settings.kafka, topics=settings.topics) as subscriber,
        service("serve", config, tmp_path / "serve.log"),
    ):
        future_ms = SystemClock().now_ms() + AHEAD_MS
        future = b'{"user":"ann","item":"lamp","ts":%d}' % future_ms
        with closing(KafkaProducer(**client_options(settings.kafka))) as producer:
            for value in (future, UNKNOWN):
                producer.send(settings.topics.interactions, value, b"ann", headers, partition=0)
            producer.flush()
        wait_for(lambda: len(letters_of(settings)) == 2, "both are rejected")
        wait_for(lambda: SystemClock().now_ms() > future_ms, "the event's time has come")
        assert dlq("replay", reason=(Reason.FUTURE,), dry_run=True, settings=settings) == 0
        assert len(input_of(settings)) == 2
        assert dlq("replay", settings=settings) == 0
        answer = next(iter(subscriber))
        assert (answer.user, answer.event_ts) == ("ann", future_ms)
        wait_for(lambda: len(letters_of(settings)) == 3, "the unknown type is rejected again")

        # By accident once more: the first two were replayed, their replay's letter was not.
        with capture_logs() as logs:
            assert dlq("replay", limit=2, settings=settings) == REFUSED
        assert ["replayed already" in each["reason"] for each in logs] == [True, True]
        assert len(input_of(settings)) == 4
        assert dlq("replay", reason=(Reason.INVALID,), most_replays=2, settings=settings) == REFUSED
        wait_for(lambda: len(letters_of(settings)) == 4, "and again")
        with capture_logs() as logs:
            dlq("replay", reason=(Reason.INVALID,), most_replays=2, settings=settings)
        assert "it was replayed 2 times" in logs[-1]["reason"]
        assert len(input_of(settings)) == 5

    replays = input_of(settings)[2:]
    assert [(record.key, record.value) for record in replays] == [
        (b"ann", future), (b"ann", UNKNOWN), (b"ann", UNKNOWN),
    ]  # fmt: skip
    marks = [dict(record.headers[2:]) for record in replays]
    assert all(list(record.headers[:2]) == headers for record in replays)
    assert [mark[REPLAYS] for mark in marks] == [b"1", b"1", b"2"]
    places = [f"{settings.topics.dead_letters_topic()}/0/".encode() in mark[REPLAYED_FROM]
              for mark in marks]  # fmt: skip
    assert all(places)

    capsys.readouterr()
    assert dlq("list", reason=(Reason.INVALID,), settings=settings) == 0
    listed = capsys.readouterr().out
    assert "3 dead letters" in listed
    assert "ann" not in listed
    offset = letters_of(settings)[-1].offset
    assert dlq("show", partition=(0,), offset=(offset,), show_users=True, settings=settings) == 0
    shown = capsys.readouterr().out
    assert "replays      2" in shown
    assert '"type": "teleport"' in shown
    assert '"user": "ann"' in shown


def test_there_is_nothing_to_show(settings: Settings) -> None:
    """Said so, with what to do; nor does an empty topic make a replay fail."""
    ensure_topics(settings)
    with pytest.raises(Fatal, match="no dead letter is selected"):
        dlq("show", settings=settings)
    assert dlq("list", settings=settings) == 0
    assert dlq("replay", settings=settings) == 0


def test_topics_that_are_not_there_are_named(settings: Settings) -> None:
    """A wrong name makes no new topic."""
    with pytest.raises(Fatal, match=r"interactions\.dlq does not exist"):
        dlq("list", settings=settings)


def test_flags_of_a_replay_belong_to_it(settings: Settings) -> None:
    """`list --again` is a mistake that is told."""
    with pytest.raises(BadConfiguration, match="belong to `dlq replay`"):
        dlq("list", again=True, settings=settings)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 3, 1, 8), 1_772_352_000_000),
        (datetime(2026, 3, 1, 8, tzinfo=timezone(timedelta(hours=1))), 1_772_348_400_000),
        (None, None),
    ],
)
def test_times_are_utc_unless_they_name_a_zone(
    moment: datetime | None, expected: int | None
) -> None:
    """Whatever zone this machine is in."""
    assert _ms(moment) == expected
