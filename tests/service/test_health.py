"""What a process says over HTTP about itself."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from metarec_stream.errors import Fatal
from metarec_stream.service.health import HealthServer, Readiness
from metarec_stream.service.settings import HttpSettings


@pytest.fixture
def readiness() -> Readiness:
    """A process that waits for two things."""
    return Readiness(topics="not checked yet", kernels="compiling")


@pytest.fixture
def server(readiness: Readiness) -> Iterator[HealthServer]:
    """A server on a free port, with one metric."""
    registry = CollectorRegistry()
    Counter("metarec_test", "Of this test.", registry=registry).inc(3)
    with HealthServer("127.0.0.1", 0, registry, readiness) as server:
        yield server


def ask(server: HealthServer, path: str, method: str = "GET") -> tuple[int, bytes, str]:
    """Status, body and content type of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path, body=b"{}" if method == "POST" else None)
        response = connection.getresponse()
        return response.status, response.read(), response.getheader("Content-Type", "")
    finally:
        connection.close()


def test_readiness_gives_its_reasons_until_none_is_left(
    server: HealthServer, readiness: Readiness
) -> None:
    """503 with the reasons that are left, then 200; a reason that comes back makes it 503 again."""
    status, body, kind = ask(server, "/readyz")
    assert (status, kind) == (503, "application/json")
    assert json.loads(body) == {
        "ready": False,
        "reasons": {"topics": "not checked yet", "kernels": "compiling"},
        "notes": {},
    }
    readiness.done("topics")
    assert json.loads(ask(server, "/readyz")[1])["reasons"] == {"kernels": "compiling"}
    readiness.done("kernels")
    assert ask(server, "/readyz")[0] == 200
    readiness.wait("partitions", "joining the group")
    assert ask(server, "/readyz")[0] == 503


def test_a_note_does_not_hold_readiness_back(server: HealthServer, readiness: Readiness) -> None:
    """It is said beside it, until it is taken back."""
    readiness.done("topics")
    readiness.done("kernels")
    readiness.note("spare", "more members than partitions")
    status, body, _ = ask(server, "/readyz")
    assert status == 200
    assert json.loads(body)["notes"] == {"spare": "more members than partitions"}
    readiness.note("spare", None)
    assert json.loads(ask(server, "/readyz")[1])["notes"] == {}


def test_a_process_that_is_not_ready_is_alive_and_measured(server: HealthServer) -> None:
    """Liveness and metrics do not wait for readiness."""
    assert ask(server, "/livez")[0] == 200
    status, body, kind = ask(server, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    assert b"metarec_test_total 3.0" in body


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PURGE"]
)
def test_only_get_is_answered(server: HealthServer, method: str) -> None:
    """Anything else is refused on every path and changes nothing."""
    before = ask(server, "/metrics")[1], ask(server, "/readyz")[1]
    for path in ("/metrics", "/livez", "/readyz", "/"):
        assert ask(server, path, method)[0] == 405
    assert (ask(server, "/metrics")[1], ask(server, "/readyz")[1]) == before


def test_it_listens_on_this_machine_alone_unless_told_otherwise() -> None:
    """With the default settings no other address of the machine answers."""
    default = HttpSettings().host
    with HealthServer(default, 0, CollectorRegistry(), Readiness()) as server:
        assert ask(server, "/livez")[0] == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", server.port), timeout=5)
    with HealthServer("0.0.0.0", 0, CollectorRegistry(), Readiness()) as server:
        socket.create_connection(("127.0.0.2", server.port), timeout=5).close()


def test_an_unknown_path_names_the_known_ones(server: HealthServer) -> None:
    """404, with what there is."""
    status, body, _ = ask(server, "/admin")
    assert status == 404
    assert json.loads(body)["paths"] == ["/metrics", "/livez", "/readyz"]


def test_a_port_in_use_ends_the_process_with_the_setting(server: HealthServer) -> None:
    """Fatal names the address and the settings that move it."""
    with pytest.raises(Fatal, match=rf"127\.0\.0\.1:{server.port}.*http\.port"):
        HealthServer("127.0.0.1", server.port, CollectorRegistry(), Readiness())
