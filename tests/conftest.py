"""What every test may ask for: a real broker, names of its own, settings bound to both."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import structlog
from hypothesis import settings as hypothesis_settings

from metarec_stream.config import Settings
from metarec_stream.kafka.embedded import EmbeddedBroker
from metarec_stream.kafka.settings import KafkaSettings, TopicsSettings
from metarec_stream.service.settings import HttpSettings
from tests.kafka.secured_broker import SecuredBroker, make_keys

hypothesis_settings.register_profile("metarec", deadline=None)
hypothesis_settings.load_profile("metarec")


@pytest.fixture(scope="session", autouse=True)
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Learners that tests start keep their curves and checkpoints in a folder of the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that a test runs in this process sends logs to what is standard error then."""
    yield
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(handler)
    structlog.reset_defaults()


@dataclass(frozen=True)
class RunningBroker:
    """Brokers that somebody else started."""

    bootstrap_servers: str


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker | RunningBroker]:
    """A real Kafka for the whole run: the one named in the environment, else an embedded one."""
    named = os.environ.get("METAREC_KAFKA__BOOTSTRAP_SERVERS")
    if named:
        yield RunningBroker(named)
        return
    with EmbeddedBroker(None, None, lambda _: None) as embedded:
        yield embedded


@pytest.fixture(scope="session")
def secured_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A broker with access control and guarded listeners, for the whole run."""
    keys = tmp_path_factory.mktemp("keys")
    make_keys(keys)
    with SecuredBroker(keys) as secured:
        yield secured


@pytest.fixture
def unique() -> str:
    """A short prefix that no other test has."""
    return f"t{secrets.token_hex(4)}"


@pytest.fixture
def settings(broker: EmbeddedBroker | RunningBroker, unique: str) -> Settings:
    """Settings on the broker with an application, a group and topics of the test's own."""
    return settings_of(unique, KafkaSettings(bootstrap_servers=broker.bootstrap_servers))


def settings_of(unique: str, kafka: KafkaSettings) -> Settings:
    """Settings on some brokers, with names of the test's own."""
    return Settings(
        application=unique,
        kafka=kafka.model_copy(update={"group": f"{unique}-group"}),
        topics=TopicsSettings(
            interactions=f"{unique}.interactions",
            recommendations=f"{unique}.recommendations",
            tasks=f"{unique}.tasks",
            state=f"{unique}.state",
            items=f"{unique}.items",
            users=f"{unique}.users",
            meta=f"{unique}.meta",
            receipts=f"{unique}.receipts",
            partitions=2,
        ),
        http=HttpSettings(port=0, learner_port=0),
    )
