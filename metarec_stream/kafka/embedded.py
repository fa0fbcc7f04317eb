"""The embedded broker: a real Apache Kafka, one node in KRaft mode, as a child process."""

from __future__ import annotations

import atexit
import shutil
import socket
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from metarec_stream.errors import Fatal
from metarec_stream.kafka.child import Child, start_child
from metarec_stream.kafka.connection import wait_for_brokers
from metarec_stream.kafka.distribution import WAY_OUT, Distribution, find_distribution
from metarec_stream.kafka.settings import KafkaSettings

HOST = "127.0.0.1"
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0
_ATTEMPTS = 3

_JVM_OPTIONS = (
    "-XX:-UsePerfData",
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
)

_SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
log.cleaner.dedupe.buffer.size=16777216
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
"""

_LOG_PROPERTIES = """\
appender.file.type=Console
appender.file.name=file
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.file.ref=file
"""

_log = structlog.get_logger()


class EmbeddedBroker:
    """Apache Kafka for a laptop, a test or a demonstration; never left behind.

    Listens on the loopback address only. Without a data folder it keeps its records in a temporary
    one, which goes when it stops.
    """

    def __init__(
        self, data_dir: Path | None, port: int | None, progress: Callable[[str], None]
    ) -> None:
        """Start it; returns once a client can fetch the cluster's metadata.

        Raises Fatal if Java or Kafka cannot be had, the port is taken, or it does not start.
        """
        self._temporary = data_dir is None
        self._wanted_port = port
        self._progress = progress
        self._child: Child | None = None
        self.bootstrap_servers = ""
        if port is not None and not _is_free(port):
            raise Fatal(
                f"Port {port} on {HOST} is in use: stop what listens there, or choose another "
                "with --port."
            )
        distribution = find_distribution(progress)
        self._folder = _folder(data_dir)
        atexit.register(self.stop)
        try:
            self._start(distribution)
        except BaseException:
            self.stop()
            raise

    @property
    def process_id(self) -> int | None:
        """The broker's process, None once it is stopped."""
        return self._child.pid if self._child else None

    @property
    def log_file(self) -> Path:
        """Where the broker writes warnings and errors."""
        return self._folder / "broker.log"

    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._child is not None and self._child.wait(0) is None

    def last_errors(self) -> str:
        """The errors in the broker's log, on one line."""
        lines = self.log_file.read_text("utf-8", errors="replace").splitlines()
        telling = [line for line in lines if "ERROR" in line or "Exception" in line] or lines
        return " | ".join(telling[-4:]) + "."

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the broker, and remove its temporary folder; once is enough, twice does no harm.

        A broker whose records are kept shuts down in order, which spares its next start a recovery.
        """
        child, self._child = self._child, None
        if child is not None:
            child.end(0.0 if self._temporary else _STOP_TIMEOUT_S)
        if self._temporary:
            shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.stop)

    def _start(self, distribution: Distribution) -> None:
        """A port found free may be taken before the broker binds it: try again with others."""
        for attempt in range(1, _ATTEMPTS + 1):
            port, controller_port = _ports(self._wanted_port)
            self._write_configuration(port, controller_port)
            if not (self._folder / "logs" / "meta.properties").exists():
                self._format(distribution)
            self._progress("starting Apache Kafka")
            self._child = self._run(distribution, "kafka.Kafka", "server.properties")
            self.bootstrap_servers = f"{HOST}:{port}"
            if self._becomes_ready(self._child):
                return
            report = self.last_errors()
            if "Address already in use" not in report or attempt == _ATTEMPTS:
                raise Fatal(f"The embedded Kafka did not start: {report} {WAY_OUT}")
            _log.warning("embedded_broker_port_taken", port=port, attempt=attempt)

    def _write_configuration(self, port: int, controller_port: int) -> None:
        logs = self._folder / "logs"
        properties = _SERVER_PROPERTIES.format(
            host=HOST, port=port, controller_port=controller_port, logs=logs
        )
        (self._folder / "server.properties").write_text(properties, "utf-8")
        (self._folder / "log4j2.properties").write_text(_LOG_PROPERTIES, "utf-8")

    def _format(self, distribution: Distribution) -> None:
        self._progress("formatting the broker's storage")
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        self._child = self._run(
            distribution,
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster}",  # an id may begin with a dash
            "--config=server.properties",
        )
        if self._child.wait(_START_TIMEOUT_S) != 0:
            raise Fatal(f"Kafka's storage cannot be formatted: {self.last_errors()} {WAY_OUT}")

    def _run(self, distribution: Distribution, *arguments: str) -> Child:
        command = [
            str(distribution.java),
            *_JVM_OPTIONS,
            # Java's own files, unpacked native libraries among them, go with the folder.
            f"-Djava.io.tmpdir={self._folder}",
            "-Dlog4j2.configurationFile=log4j2.properties",
            "-cp",
            distribution.class_path(),
            *arguments,
        ]
        return start_child(command, self._folder, self.log_file)

    def _becomes_ready(self, child: Child) -> bool:
        """Whether clients are answered; False if the process ended instead."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not _listens(self.bootstrap_servers):
            if child.wait(0.05) is not None:
                return False
            if time.monotonic() > deadline:
                raise Fatal(
                    f"The embedded Kafka was not ready within {_START_TIMEOUT_S:.0f} s: "
                    f"{self.last_errors()} {WAY_OUT}"
                )
        wait_for_brokers(KafkaSettings(bootstrap_servers=self.bootstrap_servers))
        return True


def _folder(data_dir: Path | None) -> Path:
    if data_dir is None:
        return Path(tempfile.mkdtemp(prefix="metarec-kafka-"))
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Fatal(f"The data folder {data_dir} cannot be made ({error}).") from error
    return data_dir.resolve()


def _ports(wanted: int | None) -> tuple[int, int]:
    """The broker's port and its controller's, both free a moment ago."""
    with socket.socket() as first, socket.socket() as second:
        first.bind((HOST, 0))
        second.bind((HOST, 0))
        return wanted or first.getsockname()[1], second.getsockname()[1]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, int(port))) == 0
