"""How every client reaches the brokers, and the wait for them at a start."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from kafka import KafkaAdminClient
from kafka.cluster import collect_hosts
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from metarec_stream.errors import Fatal
from metarec_stream.kafka.settings import KafkaSettings

RECONNECT_MS = 1_000
"""Longest pause between two attempts to connect: by the library's 30 s a client may stay away for
as long after its broker is back.
"""
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0
_FIRST_ATTEMPT_S = 1.0
_LONGEST_ATTEMPT_S = 10.0

_log = structlog.get_logger()


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Arguments common to KafkaConsumer, KafkaProducer and KafkaAdminClient.

    Raises Fatal if the servers cannot be read as such, or a file of the settings at all.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": _servers(settings),
        "security_protocol": settings.security_protocol,
        "reconnect_backoff_max_ms": RECONNECT_MS,
        "bootstrap_timeout_ms": round(settings.connect_timeout_s * 1_000),
    }
    if settings.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = _password(settings)
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        path = getattr(settings, name)
        if path is not None:
            _require_readable(path, f"METAREC_KAFKA__{name.upper()}")
            options[name] = str(path)
    return options


def _require_readable(path: Path, variable: str) -> None:
    """Asked first: the library tries again and again where a file of TLS is missing."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise Fatal(
            f"The file {path} cannot be read ({error.strerror}): correct {variable} or the file's "
            "permissions."
        ) from error


def _servers(settings: KafkaSettings) -> list[str]:
    servers = [part.strip() for part in settings.bootstrap_servers.split(",")]
    try:
        collect_hosts(servers)
    except ValueError as error:
        raise Fatal(
            f"METAREC_KAFKA__BOOTSTRAP_SERVERS={settings.bootstrap_servers} is no list of "
            f"host:port, separated by commas ({error})."
        ) from error
    return servers


def _password(settings: KafkaSettings) -> str | None:
    if settings.sasl_password_file is not None:
        try:
            return settings.sasl_password_file.read_text("utf-8").rstrip("\r\n")
        except OSError as error:
            raise Fatal(
                f"The password file {settings.sasl_password_file} cannot be read ({error.strerror})"
                ": correct METAREC_KAFKA__SASL_PASSWORD_FILE or the file's permissions."
            ) from error
    password = settings.sasl_password
    return None if password is None else password.get_secret_value()


def wait_for_brokers(settings: KafkaSettings, on_wait: Callable[[str], None] | None = None) -> None:
    """Return once a broker answers; each failed attempt is told to on_wait and followed by a pause.

    Raises Fatal after settings.connect_timeout_s.
    """
    deadline = time.monotonic() + settings.connect_timeout_s
    pause, patience = _FIRST_PAUSE_S, _FIRST_ATTEMPT_S
    options = client_options(settings)
    while True:
        failure = _attempt(options, settings, min(patience, deadline - time.monotonic()))
        if failure is None:
            return
        if time.monotonic() + pause >= deadline:
            raise Fatal(_away(settings, failure))
        _log.warning("brokers_away", servers=settings.bootstrap_servers, error=failure)
        if on_wait is not None:
            on_wait(f"brokers {settings.bootstrap_servers} do not answer: {failure}")
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)
        patience = min(patience * 2, _LONGEST_ATTEMPT_S)


def _attempt(options: dict[str, Any], settings: KafkaSettings, patience_s: float) -> str | None:
    """What went wrong, or None if a broker answered."""
    unreachable = _unreachable(options["bootstrap_servers"], patience_s)
    if unreachable is not None:
        return unreachable
    made: list[KafkaNetClient] = []

    def remember(**configuration: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**configuration))
        return made[0]

    try:
        patience_ms = round(max(_FIRST_ATTEMPT_S, patience_s) * 1_000)
        patient = {**options, "bootstrap_timeout_ms": patience_ms}
        KafkaAdminClient(**patient, kafka_client=remember).close()
    except KafkaError as error:
        _close(made[0])
        return f"{_misunderstood(settings)} ({error})"
    return None


def _unreachable(servers: list[str], patience_s: float) -> str | None:
    """Why no connection can be made to any of the servers, or None if one can.

    Asked first: a client's own attempt takes long to fail, and logs at every try.
    """
    reasons = []
    for host, port, _ in collect_hosts(servers, randomize=False):
        try:
            socket.create_connection((host, port), max(_FIRST_ATTEMPT_S, patience_s)).close()
        except OSError as error:
            reasons.append(f"{host}:{port}: {error.strerror or error}")
        else:
            return None
    return "; ".join(reasons)


def _close(client: KafkaNetClient) -> None:
    """Also the thread, which kafka-python 3.0.12 leaves running when an admin client fails."""
    client.close()
    client._net.stop()


def _misunderstood(settings: KafkaSettings) -> str:
    """The likely reasons for a broker that takes connections and then answers nothing.

    A refused password is one: Kafka closes the connection with its reply, which kafka-python
    3.0.12 then drops, so that the reason itself does not arrive.
    """
    protocol = settings.security_protocol
    reason = f"connected, but not answered: METAREC_KAFKA__SECURITY_PROTOCOL={protocol} is wrong"
    if protocol.startswith("SASL"):
        reason += ", or METAREC_KAFKA__SASL_USERNAME, its password or METAREC_KAFKA__SASL_MECHANISM"
    if protocol.endswith("SSL"):
        reason += (
            ", or METAREC_KAFKA__SSL_CAFILE has not signed the brokers' certificate, which has to "
            "name the host, or they do not take METAREC_KAFKA__SSL_CERTFILE"
        )
    return reason


def _away(settings: KafkaSettings, failure: str) -> str:
    return (
        f"No broker of {settings.bootstrap_servers} answered within "
        f"{settings.connect_timeout_s:g} s ({failure}): start Kafka (`metarec broker` is one), or "
        "correct METAREC_KAFKA__BOOTSTRAP_SERVERS."
    )
