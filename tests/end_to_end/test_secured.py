"""All programs on brokers with access control, each with its minimal list; and no secret shown."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from metarec_stream.client import InteractionProducer, RecommendationSubscriber
from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.recommendation import Recommendation
from metarec_stream.demo.environment import environment_of
from metarec_stream.kafka.rights import ROLES
from metarec_stream.kafka.settings import KafkaSettings
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.learner.service import LearnerService
from metarec_stream.learner.start import built_in_version
from metarec_stream.metrics import LearnerMetrics
from metarec_stream.settings_options import PREFIX, options
from tests.conftest import settings_of
from tests.debian import needs
from tests.kafka.secured_broker import SecuredBroker, password_of
from tests.service.test_serve import Serve
from tests.transport.backends import wait_until

CANARY = "canary-7b1f"
READY_LIMIT_S = 300.0
"""The first start after a change of the compiled code compiles it."""
Connect = Callable[[str], KafkaSettings]


def serve_with(settings: Settings, **changes: str) -> Serve:
    """`metarec serve` with all of these settings."""
    given = {
        name.removeprefix(PREFIX): value
        for name, value in environment_of(settings).items()
        if name.startswith(PREFIX)
    }
    return Serve(settings, **{**given, "LOG__FORMAT": "json", **changes})


@pytest.fixture(params=["password", "certificate"])
def connect(request: pytest.FixtureRequest, secured_broker: SecuredBroker) -> Connect:
    """How a user gets in: SCRAM over TLS, or mutual TLS."""
    known = {
        "password": secured_broker.with_password,
        "certificate": secured_broker.with_certificate,
    }
    return known[request.param]


@pytest.fixture
def role_settings(
    secured_broker: SecuredBroker, unique: str, connect: Connect
) -> Iterator[Callable[[str], Settings]]:
    """Settings of each role, on topics that exist, with its minimal list and nothing else."""
    plain = KafkaSettings(bootstrap_servers=secured_broker.bootstrap_servers)
    ensure_topics(settings_of(unique, plain))
    with ExitStack() as parts:
        for role, rights in ROLES.items():
            parts.enter_context(secured_broker.allowed(role, rights(settings_of(unique, plain))))
        yield lambda role: settings_of(unique, connect(role))


@needs("openssl")
@pytest.mark.timeout(600)
def test_every_program_works_with_its_minimal_list(
    role_settings: Callable[[str], Settings],
) -> None:
    """Events in, lists out, a version of the learner taken up; nothing served has the password."""
    serve = serve_with(role_settings("consumer"))
    reader, writer = role_settings("subscriber"), role_settings("producer")
    with ExitStack() as parts:
        parts.callback(serve.process.kill)
        subscriber = parts.enter_context(
            RecommendationSubscriber(reader.kafka, topics=reader.topics)
        )
        producer = parts.enter_context(InteractionProducer(writer.kafka, topics=writer.topics))
        parts.enter_context(closing(learner_with_a_first_version(role_settings("learner"))))
        wait_until(lambda: serve.get("/readyz")[0] == 200, READY_LIMIT_S)
        for item in ("i1", "i2"):
            producer.post(Interaction(user="u", item=item))
        producer.flush()
        wait_until(lambda: bool(answers(subscriber)))
        wait_until(lambda: serve.said("meta_version_taken_up") is not None)
        for shown in (serve.get("/metrics")[1], serve.get("/readyz")[1], str(serve.logged)):
            assert password_of("consumer") not in shown
        assert serve.end(signal.SIGTERM) == 0


def answers(subscriber: RecommendationSubscriber) -> list[Recommendation]:
    """What comes next, of the one user that there is."""
    lists = subscriber.poll(0.1)
    assert {each.user for each in lists} <= {"u"}
    return lists


def learner_with_a_first_version(settings: Settings) -> LearnerService:
    """A connected learner that has published one."""
    start = built_in_version(settings)
    first = MetaVersion(1, 0, start.adapter, [], start.parameters)
    return LearnerService(settings, LearnerMetrics(CollectorRegistry()), SystemClock(), first=first)


def run(*arguments: str, environment: dict[str, str]) -> str:
    """Everything that a command says."""
    done = subprocess.run(
        [sys.executable, "-m", "metarec_stream", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def secrets() -> dict[str, str]:
    """Every secret setting, as a variable, with the canary in it."""
    found = {option.variable: CANARY for option in options() if option.is_secret}
    assert found
    return found


@pytest.mark.parametrize(
    "arguments", [[], ["--json"], ["--reference"], ["--access"], ["--rank.top-k", "none"]]
)
def test_config_shows_no_secret(arguments: list[str]) -> None:
    """Neither as TOML, nor as JSON, nor where another setting is refused."""
    said = run("config", *arguments, environment=secrets())
    assert said
    assert CANARY not in said


@pytest.mark.parametrize("variable", sorted(secrets()))
def test_a_secret_of_the_wrong_kind_is_not_shown(variable: str, tmp_path: Path) -> None:
    """A file that has a list where the secret belongs is refused without what is in it."""
    option = next(each for each in options() if each.variable == variable)
    file = tmp_path / "wrong.toml"
    file.write_text(f'[{".".join(option.path[:-1])}]\n{option.path[-1]} = ["{CANARY}"]\n', "utf-8")
    said = run("config", "--config", str(file), environment={})
    assert option.name in said
    assert CANARY not in said


@needs("openssl")
@pytest.mark.parametrize(
    ("mechanism", "of_a_file", "log_format"),
    [("SCRAM-SHA-512", False, "json"), ("PLAIN", False, "text"), ("PLAIN", True, "json")],
)
def test_a_refused_password_is_not_shown(
    mechanism: str,
    of_a_file: bool,
    log_format: str,
    secured_broker: SecuredBroker,
    tmp_path: Path,
) -> None:
    """Not at the most talkative log level, of a setting or of a file, whatever the mechanism."""
    file = tmp_path / "password"
    file.write_text(CANARY, "utf-8")
    update = {
        "sasl_mechanism": mechanism,
        "connect_timeout_s": 1.0,
        "sasl_password": None if of_a_file else SecretStr(CANARY),
        "sasl_password_file": file if of_a_file else None,
    }
    kafka = secured_broker.with_password("plain").model_copy(update=update)
    environment = environment_of(Settings(kafka=kafka))
    said = run("tail", "--log.level", "debug", "--log.format", log_format, environment=environment)
    assert "METAREC_KAFKA__SASL_USERNAME" in said
    assert CANARY not in said


@needs("openssl")
def test_a_process_that_is_let_in_shows_no_secret(
    secured_broker: SecuredBroker, unique: str
) -> None:
    """PLAIN hands the password itself to the brokers; it is not in the debug log even so."""
    kafka = secured_broker.with_password("plain", "plain-secret").model_copy(
        update={"sasl_mechanism": "PLAIN"}
    )
    settings = settings_of(unique, kafka)
    serve = serve_with(settings, LOG__LEVEL="debug")
    try:
        wait_until(lambda: serve.said("fatal") is not None, 60)
    finally:
        serve.process.kill()
    said = str(serve.logged)
    assert "Not authorised to describe topic" in said
    assert "plain-secret" not in said
