"""Metrics and health over HTTP: `/metrics`, `/livez`, `/readyz`. Nothing here changes state."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from metarec_stream.errors import Fatal

log = structlog.get_logger()


class Readiness:
    """What a process still waits for, by name, each with a reason; ready when nothing is left.

    Notes say something about a process without holding it back. Safe from any thread.
    """

    def __init__(self, **waiting: str) -> None:
        self._lock = threading.Lock()
        self._waiting = dict(waiting)
        self._notes: dict[str, str] = {}

    def wait(self, name: str, reason: str) -> None:
        """The process is not ready, because of this."""
        with self._lock:
            self._waiting[name] = reason

    def done(self, name: str) -> None:
        """It no longer waits for this."""
        with self._lock:
            self._waiting.pop(name, None)

    def note(self, name: str, text: str | None) -> None:
        """Say something beside readiness; None takes it back."""
        with self._lock:
            if text is None:
                self._notes.pop(name, None)
            else:
                self._notes[name] = text

    @property
    def ready(self) -> bool:
        with self._lock:
            return not self._waiting

    def report(self) -> dict[str, Any]:
        """What `/readyz` says: ready, the reasons if not, and the notes."""
        with self._lock:
            return {
                "ready": not self._waiting,
                "reasons": dict(self._waiting),
                "notes": dict(self._notes),
            }


class HealthServer:
    """Serves one registry and one readiness on a thread of its own, as a context manager.

    Raises Fatal if the address cannot be bound.
    """

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, readiness: Readiness
    ) -> None:
        handler = type("BoundHandler", (_Handler,), {"registry": registry, "readiness": readiness})
        try:
            self._server = _Server((host, port), handler)
        except OSError as error:
            raise Fatal(
                f"the address {host}:{port} cannot be bound ({error.strerror}): set http.host, or "
                "http.port (http.learner_port for the learner) to a free one; 0 takes any"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that is bound."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()
        log.info("http_serving", host=self._server.server_address[0], port=self.port)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> HealthServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    """Answers GET alone."""

    registry: CollectorRegistry
    readiness: Readiness
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, generate_latest(self.registry), CONTENT_TYPE_LATEST)
        elif path == "/livez":
            self._answer_json(HTTPStatus.OK, {"alive": True})
        elif path == "/readyz":
            report = self.readiness.report()
            status = HTTPStatus.OK if report["ready"] else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer_json(status, report)
        else:
            paths = ["/metrics", "/livez", "/readyz"]
            self._answer_json(HTTPStatus.NOT_FOUND, {"error": "no such path", "paths": paths})

    def _refuse(self) -> None:
        # Its body, if any, was not read: the connection cannot be used for another request.
        self.close_connection = True
        self._answer_json(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "only GET is answered"})

    def __getattr__(self, name: str) -> Callable[[], None]:
        """The handler of a method that has none of its own, whatever its name."""
        if name.startswith("do_"):
            return self._refuse
        raise AttributeError(name)

    def _answer_json(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        self._answer(status, json.dumps(content).encode() + b"\n", "application/json")

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - overridden
        log.debug("http_request", said=format % args)
