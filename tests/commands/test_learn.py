"""`metarec learn --history`: version 1 before the stream begins, and only then."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from metarec_stream.client.subscriber import RecommendationSubscriber
from metarec_stream.clock import SystemClock
from metarec_stream.commands.config import as_toml
from metarec_stream.commands.history import version_from_history
from metarec_stream.commands.main import main
from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.demo.environment import environment_of
from metarec_stream.demo.processes import Subcommands
from metarec_stream.evaluate.dataset import Columns
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.learner.publish import Publisher
from metarec_stream.learner.service import LearnerService
from metarec_stream.learner.start import built_in_version
from metarec_stream.metrics import LearnerMetrics
from tests.deploy.live import service, wait_for
from tests.evaluate.streams import planted_table
from tests.evaluate.test_history import SMALL
from tests.learner.test_learn_service import versions_on

FLAGS = ["--user", "who", "--item", "what", "--time", "when"]
COLUMNS = Columns("who", "what", "when")
EVENTS = 640


@pytest.fixture
def small(settings: Settings) -> Settings:
    """The test's settings with quick learning; nothing is published but what is there at once."""
    learn = SMALL.learn.model_copy(update={"publish_every_s": 3_600.0, "checkpoint_every_s": 0.0})
    changes = {"learn": learn, "gate": SMALL.gate, "value_sum": SMALL.value_sum}
    return settings.model_copy(update=changes)


@pytest.fixture
def past(tmp_path: Path) -> Path:
    """Past events of users who go their rounds."""
    table = planted_table(EVENTS, seed=1)
    path = tmp_path / "past.csv"
    columns = {"who": table.user, "what": table.item, "when": table.ts // 1_000}
    pl.DataFrame(columns).write_csv(path)
    return path


@pytest.fixture
def subcommands(tmp_path: Path) -> Iterator[Subcommands]:
    """Starts `metarec …`; none is left behind."""
    started = Subcommands(tmp_path)
    yield started
    started.stop()


def first_of(settings: Settings) -> MetaVersion:
    """A version like one from a history."""
    start = built_in_version(settings)
    return MetaVersion(1, 0, start.adapter, [], start.parameters, created_ms=7)


@pytest.mark.timeout(240)
def test_history_first_then_the_stream(
    small: Settings, past: Path, tmp_path: Path, subcommands: Subcommands
) -> None:
    """The recipe: produce the history, learn it, serve: version 1 is live, and users have rings."""
    environment = environment_of(small)
    produced = subcommands.start(["produce", str(past), *FLAGS], environment)
    wait_for(lambda: produced.status == 0, "the history is produced")
    learning = subcommands.start(["learn", "--history", str(past), *FLAGS], environment)
    wait_for(lambda: "learner_started" in learning.log.read_text(), "the history is learned")
    (version,) = versions_on(small, 1)
    assert (version.version, version.parent, len(version.items)) == (1, 0, 60)
    assert version.task_offsets == {}
    config = tmp_path / "metarec.toml"
    config.write_text(as_toml(small, {}))
    subscriber = RecommendationSubscriber(small.kafka, topics=small.topics, from_beginning=True)
    with service("serve", config, tmp_path / "serve.log") as port, subscriber:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert "\nmetarec_meta_version 1.0\n" in answer.read().decode()
        newest = {}
        for recommendation in subscriber:
            assert recommendation.meta_version == 1
            newest[recommendation.user] = recommendation
            if len(newest) == 20:
                break


def test_an_installation_that_has_a_version_does_not_learn_it(small: Settings, past: Path) -> None:
    """Said before anything is read: the file need not even be there."""
    ensure_topics(small)
    with closing(Publisher(small)) as publisher:
        publisher.publish(first_of(small))
    versions_on(small, 1)
    missing = past.with_name("none.csv")
    with capture_logs() as logs:
        assert version_from_history(missing, COLUMNS, None, small, SystemClock()) is None
    (said,) = logs
    assert said["event"] == "history_not_learned"
    assert "meta version 1" in said["reason"]


def test_a_history_that_passes_no_gate_publishes_nothing(small: Settings, past: Path) -> None:
    """It is said, and the learner begins from version 0."""
    with capture_logs() as logs:
        assert version_from_history(past, COLUMNS, 70, small, SystemClock()) is None
    events = [said["event"] for said in logs if said["event"].startswith("history")]
    assert events == ["history_begins", "history_published_nothing"]


def test_the_service_publishes_a_first_version_once(small: Settings) -> None:
    """Onto an empty topic, and never beside a version that is there."""
    for created_ms in (7, 8):
        first = replace(first_of(small), created_ms=created_ms)
        metrics = LearnerMetrics(CollectorRegistry())
        with closing(LearnerService(small, metrics, SystemClock(), first=first)):
            assert [version.created_ms for version in versions_on(small, 1)] == [7]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--history", "past.csv"], "--user, --item and --time"),
        (["--user", "who"], "--history FILE"),
        (["--limit", "5"], "--history FILE"),
    ],
)
def test_half_a_history_is_a_usage_error(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2 before a broker is asked for."""
    assert main(["learn", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_under_torchrun_a_history_is_refused(
    past: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One process learns it; the others would wait for as long."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert main(["learn", "--history", str(past), *FLAGS]) == 2
    assert "without torchrun" in capsys.readouterr().err
