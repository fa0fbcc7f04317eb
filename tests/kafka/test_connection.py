"""Reaching the brokers: the clients' options, and the wait at a start."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from pydantic import SecretStr

from metarec_stream.errors import Fatal
from metarec_stream.kafka import embedded
from metarec_stream.kafka.connection import client_options, wait_for_brokers
from metarec_stream.kafka.settings import KafkaSettings


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_without_security() -> None:
    """The servers are a list, and nothing about security that was not set. Connections are tried
    again soon: with the library's pause of up to 30 s a broker's restart cost 28 s; and as long as
    ours are: with the library's 30 s a process ended while its brokers were away.
    """
    options = client_options(KafkaSettings(bootstrap_servers="one:9092, two:9093"))
    assert options == {
        "bootstrap_servers": ["one:9092", "two:9093"],
        "security_protocol": "PLAINTEXT",
        "reconnect_backoff_max_ms": 1_000,
        "bootstrap_timeout_ms": 60_000,
    }


def test_with_everything(tmp_path: Path) -> None:
    """SASL over TLS reaches the clients under the names that all three know."""
    for name in ("ca.pem", "own.pem", "own.key"):
        (tmp_path / name).touch()
    settings = KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="shop",
        sasl_password=SecretStr("secret"),
        ssl_cafile=tmp_path / "ca.pem",
        ssl_certfile=tmp_path / "own.pem",
        ssl_keyfile=tmp_path / "own.key",
    )
    options = client_options(settings)
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["sasl_plain_username"] == "shop"
    assert options["sasl_plain_password"] == "secret"
    assert options["ssl_cafile"] == str(tmp_path / "ca.pem")
    for client in (KafkaConsumer, KafkaProducer, KafkaAdminClient):
        assert set(options) <= set(client.DEFAULT_CONFIG)


def test_the_password_of_a_file(tmp_path: Path) -> None:
    """The file's line end is no part of the password; a missing file is named."""
    file = tmp_path / "password"
    file.write_text("of a file \n", "utf-8")
    settings = KafkaSettings(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="shop",
        sasl_password_file=file,
    )
    assert client_options(settings)["sasl_plain_password"] == "of a file "
    file.unlink()
    with pytest.raises(Fatal, match="METAREC_KAFKA__SASL_PASSWORD_FILE"):
        client_options(settings)


def test_servers_that_are_none() -> None:
    """A port that is no number is said with the setting, not by a stack trace."""
    with pytest.raises(Fatal, match="METAREC_KAFKA__BOOTSTRAP_SERVERS=here:there"):
        client_options(KafkaSettings(bootstrap_servers="here:there"))


def test_brokers_that_stay_away() -> None:
    """The wait tells of each attempt and ends in time, naming the setting and the servers."""
    servers = f"127.0.0.1:{free_port()}"
    told: list[str] = []
    start = time.monotonic()
    settings = KafkaSettings(bootstrap_servers=servers, connect_timeout_s=2.0)
    with pytest.raises(Fatal, match="METAREC_KAFKA__BOOTSTRAP_SERVERS") as caught:
        wait_for_brokers(settings, told.append)
    assert servers in str(caught.value)
    assert told
    assert all(servers in line for line in told)
    assert time.monotonic() - start < 10


def test_brokers_that_come_late(broker: Any) -> None:
    """A broker that starts to listen during the wait ends it."""
    port = free_port()
    told: list[str] = []
    listening = threading.Event()

    def on_wait(line: str) -> None:
        told.append(line)
        if not listening.is_set():
            listening.set()
            forward(port, broker.bootstrap_servers)

    wait_for_brokers(KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}"), on_wait)
    assert len(told) >= 1


@pytest.fixture(scope="module")
def secured() -> Iterator[str]:
    """A broker's listener that asks for a password: user shop, password right."""
    port = free_port()
    properties = f"""
listeners=PLAINTEXT://{{host}}:{{port}},CONTROLLER://{{host}}:{{controller_port}},SECURE://{{host}}:{port}
advertised.listeners=PLAINTEXT://{{host}}:{{port}},SECURE://{{host}}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config=\
  org.apache.kafka.common.security.plain.PlainLoginModule required user_shop="right";
"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "_SERVER_PROPERTIES", embedded._SERVER_PROPERTIES + properties)
        with embedded.EmbeddedBroker(None, None, lambda _: None):
            yield f"127.0.0.1:{port}"


def with_password(servers: str, password: str) -> KafkaSettings:
    """Settings of the user shop on the secured listener."""
    return KafkaSettings(
        bootstrap_servers=servers,
        connect_timeout_s=2.0,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="shop",
        sasl_password=SecretStr(password),
    )


def test_the_right_password(secured: str) -> None:
    """Who proves who they are is let in at once."""
    told: list[str] = []
    wait_for_brokers(with_password(secured, "right"), told.append)
    assert told == []


def test_a_wrong_password(secured: str) -> None:
    """Who is refused is told the settings of who they are, never the password itself."""
    with pytest.raises(Fatal, match="METAREC_KAFKA__SASL_USERNAME") as caught:
        wait_for_brokers(with_password(secured, "not-this-one"))
    assert "not-this-one" not in str(caught.value)


def test_another_security_protocol(secured: str) -> None:
    """A broker that speaks otherwise is not called away, and no thread is left of the attempts."""
    before = threading.active_count()
    settings = KafkaSettings(bootstrap_servers=secured, connect_timeout_s=1.0)
    with pytest.raises(Fatal, match="METAREC_KAFKA__SECURITY_PROTOCOL=PLAINTEXT"):
        wait_for_brokers(settings)
    assert threading.active_count() <= before


def forward(port: int, servers: str) -> None:
    """Listen on the port, and hand every connection on to the broker."""
    host, _, target = servers.split(",", 1)[0].rpartition(":")
    listener = socket.create_server(("127.0.0.1", port))

    def accept() -> None:
        while True:
            incoming, _ = listener.accept()
            outgoing = socket.create_connection((host, int(target)))
            start_thread(copy, incoming, outgoing)
            start_thread(copy, outgoing, incoming)

    start_thread(accept)


def copy(source: socket.socket, sink: socket.socket) -> None:
    """Bytes from one connection to the other until one of them ends."""
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
    except OSError:
        return


def start_thread(work: Callable[..., None], *arguments: socket.socket) -> None:
    """Run it beside the test."""
    threading.Thread(target=work, args=arguments, daemon=True).start()
