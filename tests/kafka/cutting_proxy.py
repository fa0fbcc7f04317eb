"""An HTTP CONNECT proxy in front of a broker that cuts connections at a request of one kind."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Literal, Self

END_TXN = 26
"""Kafka's number of the request that ends a transaction."""

Cut = Literal["the answer", "the request"]


class CuttingProxy:
    """Passes everything on until it is told to cut; then it loses that request or its answer, and
    keeps all away until it is mended. A context manager.
    """

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._sockets: list[socket.socket] = [self._server]
        self._armed: Cut | None = None
        self.is_cut = threading.Event()

    def cut(self, what: Cut) -> None:
        """At the next request that ends a transaction."""
        self._armed = what

    def cut_now(self) -> None:
        """All connections, whatever is on them."""
        self.is_cut.set()
        for each in self._sockets[1:]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Pass everything on again."""
        self._armed = None
        self.is_cut.clear()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self.is_cut.is_set():
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            broker = self._connected(client)
            threading.Thread(target=self._answers, args=(broker, client), daemon=True).start()
            while self._pass_on(_frame(client), broker):
                pass

    def _connected(self, client: socket.socket) -> socket.socket:
        """The broker that the client asks for."""
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += _some(client, 4096)
        host, _, port = asked.split()[1].decode().rpartition(":")
        broker = socket.create_connection((host, int(port)))
        self._sockets += [client, broker]
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        return broker

    def _pass_on(self, request: bytes, broker: socket.socket) -> bool:
        """False if the connection is to be cut."""
        [kind] = struct.unpack(">h", request[4:6])
        if self._armed is None or kind != END_TXN:
            broker.sendall(request)
            return not self.is_cut.is_set()
        self.is_cut.set()
        if self._armed == "the answer":
            broker.sendall(request)
        return False

    def _answers(self, broker: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (answer := _some(broker, 65_536)) and not self.is_cut.is_set():
                client.sendall(answer)


def _frame(connection: socket.socket) -> bytes:
    """One request with its length."""
    head = _exactly(connection, 4)
    [length] = struct.unpack(">i", head)
    return head + _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        found += _some(connection, count - len(found))
    return found


def _some(connection: socket.socket, most: int) -> bytes:
    """Raises ConnectionError at the end."""
    found = connection.recv(most)
    if not found:
        raise ConnectionError("closed")
    return found
