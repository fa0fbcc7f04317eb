"""The dashboard shows data: its queries are run on a real Prometheus that scrapes a live run."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaProducer
from prometheus_client import CollectorRegistry

from metarec_stream.client.producer import InteractionProducer
from metarec_stream.clock import SystemClock
from metarec_stream.commands.config import as_toml
from metarec_stream.config import Settings
from metarec_stream.datasets import online_retail
from metarec_stream.kafka.connection import client_options
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.learner.settings import GateSettings, LearnSettings
from metarec_stream.metrics import ConsumerMetrics, LearnerMetrics
from tests.debian import needs
from tests.deploy.live import LIMIT_S, Service, ask, has_data, prometheus

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads(
    (GRAFANA / "dashboards" / "metarec.json").read_text(encoding="utf-8")
)
EVENTS_A_TURN = 100


def queries() -> list[tuple[str, str]]:
    """Every query of every panel, with the panel's title."""
    return [
        (panel["title"], target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
    ]


def exported_names() -> set[str]:
    """Names of all samples that the processes export, as Prometheus sees them."""
    registry = CollectorRegistry()
    ConsumerMetrics(registry)
    LearnerMetrics(registry)
    kinds = {
        "counter": ["_total"],
        "gauge": [""],
        "histogram": ["_bucket", "_sum", "_count"],
    }
    return {family.name + end for family in registry.collect() for end in kinds[family.type]}


def variables() -> dict[str, str]:
    """The variables of the dashboard that Prometheus answers, by name, with their query."""
    found = DASHBOARD["templating"]["list"]
    return {each["name"]: each["definition"] for each in found if each["type"] == "query"}


def filled_in(expression: str) -> str:
    """The query as Grafana sends it with everything selected."""
    for name in variables():
        expression = expression.replace(f"${name}", ".*")
    return expression.replace("$__rate_interval", "10s")


def test_queries_name_exported_metrics_only() -> None:
    """A renamed metric cannot leave an empty panel behind."""
    texts = [expression for _, expression in queries()] + list(variables().values())
    used = {name for text in texts for name in re.findall(r"\bmetarec_\w+", text)}
    assert used
    assert used - exported_names() == set()


def test_every_metric_is_shown() -> None:
    """No metric is exported that the dashboard forgot."""
    texts = " ".join(expression for _, expression in queries())
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in exported_names()}
    assert {name for name in families if name not in texts} == set()


def test_panels_use_the_provisioned_data_source() -> None:
    """Each panel asks the source that is chosen on top, and one of its kind is provisioned."""
    file = GRAFANA / "provisioning" / "datasources" / "prometheus.yml"
    (source,) = yaml.safe_load(file.read_text(encoding="utf-8"))["datasources"]
    asked = [panel["datasource"] for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert {(each["type"], each["uid"]) for each in asked} == {(source["type"], "${datasource}")}


def test_panels_do_not_overlap_and_have_a_description() -> None:
    """Ids and places are unique, and each panel says what it shows."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(panel.get("description") for panel in panels if panel["type"] != "row")


class Traffic:
    """A shop's purchases, with a broken record now and then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._events = online_retail.interactions(SystemClock().now_ms(), 40_000)
        self._interactions = InteractionProducer(settings.kafka, topics=settings.topics)
        self._broken = KafkaProducer(**client_options(settings.kafka))

    def post(self) -> None:
        """A hundred purchases, and an interaction and an item that cannot be read."""
        for event in islice(self._events, EVENTS_A_TURN):
            self._interactions.post(event)
        self._interactions.flush()
        for topic in (self._settings.topics.interactions, self._settings.topics.items):
            self._broken.send(topic, b"\xff", key=b"broken").get(timeout=10)

    def close(self) -> None:
        """Disconnect."""
        self._interactions.close()
        self._broken.close()


@pytest.fixture
def live(settings: Settings, tmp_path: Path) -> Iterator[tuple[str, Traffic]]:
    """A Prometheus that scrapes a consumer and a learner, and what posts to them."""
    quick = {
        "learn": LearnSettings(block=64, publish_every_s=1.0, device="cpu"),
        "gate": GateSettings(window=256, minimum=64, confidence=0.0),
    }
    config = tmp_path / "metarec.toml"
    config.write_text(as_toml(settings.model_copy(update=quick), {}))
    ensure_topics(settings)
    traffic = Traffic(settings)
    with (
        Service("learn", config, tmp_path / "learn.log") as learner,
        Service("serve", config, tmp_path / "serve.log") as consumer,
        prometheus(tmp_path, {"consumer": consumer.ready(), "learner": learner.ready()}) as address,
    ):
        yield address, traffic
    traffic.close()


@needs("prometheus")
@pytest.mark.timeout(300)
def test_every_query_has_data_in_a_live_run(live: tuple[str, Traffic]) -> None:
    """With events, a broken record and a meta version, no panel and no choice stays empty."""
    address, traffic = live
    waiting = set(queries())
    deadline = time.monotonic() + LIMIT_S
    while waiting and time.monotonic() < deadline:
        turn = time.monotonic() + 0.5
        traffic.post()
        waiting -= {each for each in waiting if has_data(ask(address, filled_in(each[1])))}
        time.sleep(max(0.0, turn - time.monotonic()))
    assert waiting == set()
    for definition in variables().values():
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", definition)
        assert found
        metric, label = found.groups()
        assert ask(address, f'{metric}{{{label}!=""}}'), f"no values for {definition}"
