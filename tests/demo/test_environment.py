"""Settings handed on to a process of ours."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from metarec_stream.config import Settings
from metarec_stream.demo.environment import environment_of
from metarec_stream.kafka.settings import KafkaSettings
from metarec_stream.pipeline.settings import EventsSettings, RankSettings
from metarec_stream.settings_sources import Flags, load_settings


def test_a_child_has_exactly_these_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also tables, secrets, switches and values that this process's environment had otherwise."""
    monkeypatch.setenv("METAREC_RANK__TOP_K", "99")
    monkeypatch.setenv("METAREC_EMIT", "per_event")
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers="kafka:1", sasl_password=SecretStr("hush")),
        events=EventsSettings(weights={"wish": 0.5}),
        rank=RankSettings(top_k=7),
    )
    topics = settings.topics.model_copy(update={"create": False})
    settings = settings.model_copy(update={"topics": topics})
    environment = environment_of(settings)
    assert load_settings(Flags({}, None, []), environment).settings == settings


def test_the_rest_of_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is not ours; a configuration file named there would come on top, so it goes."""
    monkeypatch.setenv("SOMEBODY_ELSES", "1")
    monkeypatch.setenv("METAREC_CONFIG", "somewhere.toml")
    environment = environment_of(Settings())
    assert environment["SOMEBODY_ELSES"] == "1"
    assert not [name for name in environment if name.startswith("METAREC_")]
