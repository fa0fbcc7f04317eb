"""A live run for the dashboard's test: the two services as processes, and a Prometheus beside."""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import yaml

LIMIT_S = 90.0


class Service:
    """`metarec serve` or `metarec learn` as a process, as a context manager; it starts at once."""

    def __init__(self, command: str, config: Path, log: Path) -> None:
        self._command = command
        self._log = log
        arguments = [sys.executable, "-m", "metarec_stream", command, "--config", str(config)]
        with log.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen([*arguments, "--log.format", "json"], stderr=errors)

    def ready(self) -> int:
        """Wait until `/readyz` is green; returns the HTTP port."""
        port = wait_for(lambda: _port(self._process, self._log), f"{self._command} opens its port")
        address = f"http://127.0.0.1:{port}/readyz"
        wait_for(lambda: _answers(self._process, self._log, address), f"{self._command} is ready")
        return int(port)

    def kill(self) -> None:
        """End it at once, as a crash does (kill -9)."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _stop(self._process)


@contextmanager
def service(command: str, config: Path, log: Path) -> Iterator[int]:
    """One such process, ready; yields its HTTP port and stops it at the end."""
    with Service(command, config, log) as process:
        yield process.ready()


@contextmanager
def prometheus(folder: Path, targets: dict[str, int]) -> Iterator[str]:
    """A Prometheus that scrapes these ports every second; yields its address."""
    jobs = [
        {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for name, port in targets.items()
    ]
    config = folder / "prometheus.yml"
    document = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
    config.write_text(yaml.safe_dump(document))
    listen = f"127.0.0.1:{_free_port()}"
    program = shutil.which("prometheus")
    assert program
    arguments = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={listen}",
    ]
    log = folder / "prometheus.log"
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(arguments, stderr=errors)
    try:
        ready = f"http://{listen}/-/ready"
        wait_for(lambda: _answers(process, log, ready), "Prometheus is ready")
        yield f"http://{listen}"
    finally:
        _stop(process)


def ask(address: str, expression: str) -> list[float]:
    """The values of an instant query; raises AssertionError with Prometheus's words on an error."""
    query = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"{address}/api/v1/query?{query}", timeout=10) as answer:
            result = json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as refused:
        raise AssertionError(f"{expression}: {refused.read().decode()}") from None
    return [float(series["value"][1]) for series in result]


def has_data(values: list[float]) -> bool:
    """Whether at least one series has a number."""
    return any(math.isfinite(value) for value in values)


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """What the condition gives once it is true; fails after a limit, naming what never came."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"waited {LIMIT_S:.0f} s in vain: {what}")


def _port(process: subprocess.Popen[bytes], log: Path) -> int | None:
    _check_alive(process, log)
    for line in log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
        if event.get("event") == "http_serving":
            return int(event["port"])
    return None


def _answers(process: subprocess.Popen[bytes], log: Path, address: str) -> bool:
    _check_alive(process, log)
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except OSError:
        return False


def _check_alive(process: subprocess.Popen[bytes], log: Path) -> None:
    assert process.poll() is None, log.read_text(encoding="utf-8")[-4_000:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
