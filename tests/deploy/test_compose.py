"""The compose file and the image, read without Docker: they name only what exists."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from metarec_stream.commands.main import COMMANDS, build_app
from metarec_stream.config import Settings
from metarec_stream.kafka.settings import TopicsSettings
from metarec_stream.settings_sources import load_settings, take_flags
from tests.debian import needs

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROGRAMS = ("consumer", "learner", "producer")


def scrape_targets() -> dict[str, int]:
    """Service name to port, as Prometheus is told to find them."""
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["scrape_configs"]
    found = [config for job in jobs for config in job["dns_sd_configs"]]
    return {name: config["port"] for config in found for name in config["names"]}


def stages() -> dict[str, list[str]]:
    """Each stage of the Dockerfile with its instructions."""
    joined = DOCKERFILE.replace("\\\n", " ")
    parts = re.split(r"^FROM ", joined, flags=re.MULTILINE)[1:]
    return {part.splitlines()[0].split()[-1]: part.splitlines() for part in parts}


def test_everything_of_the_picture_is_there() -> None:
    """Brokers, the three programs, and what watches them."""
    assert set(SERVICES) == {"kafka", *PROGRAMS, "prometheus", "grafana"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_runs_an_existing_subcommand_with_valid_settings(name: str) -> None:
    """The command line parses, and every variable is a setting with a value that it takes."""
    service = SERVICES[name]
    environment = {key: str(value) for key, value in service["environment"].items()}
    flags = take_flags(service["command"])
    settings = load_settings(flags, environment).settings
    assert flags.rest[0] in COMMANDS
    build_app().parse_args(list(flags.rest), exit_on_error=False, print_error=False)
    assert settings.kafka.bootstrap_servers == "kafka:19092"
    assert settings.http.host == "0.0.0.0"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned(name: str) -> None:
    """No image floats: every one has a tag that names a release."""
    _, _, tag = SERVICES[name]["image"].rpartition(":")
    assert re.fullmatch(r"v?\d+\.\d+\.\d+(-learn)?", tag)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"producer"}))
def test_what_stays_up_has_a_health_check_and_is_started_again(name: str) -> None:
    """A process that ended for a restart gets one, and others can wait for it."""
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_dependencies_are_services_with_a_health_check() -> None:
    """Waiting for a healthy service needs one that says so."""
    waits = [
        (name, other, condition["condition"])
        for name, service in SERVICES.items()
        for other, condition in service.get("depends_on", {}).items()
    ]
    assert waits
    assert all(
        condition == "service_healthy" and "healthcheck" in SERVICES[other]
        for _, other, condition in waits
    )


def test_health_checks_and_scrapes_use_the_ports_that_are_served() -> None:
    """Health checks and Prometheus ask at the ports of the settings' defaults."""
    ports = {"consumer": Settings().http.port, "learner": Settings().http.learner_port}
    assert scrape_targets() == ports
    for name, port in ports.items():
        assert f"http://localhost:{port}/readyz" in " ".join(SERVICES[name]["healthcheck"]["test"])


def test_ports_are_published_to_this_machine_only() -> None:
    """Nothing without authentication is reachable from outside."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_mounted_files_exist() -> None:
    """Each bind mount names a file of this repository."""
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    sources = [mount.split(":")[0] for mount in mounts]
    named = set(COMPOSE["volumes"])
    assert [
        source for source in sources if source not in named and not (ROOT / source).exists()
    ] == []


def test_kafka_advertises_what_the_programs_connect_to() -> None:
    """The listener inside the network is the one in the programs' settings; one node suffices."""
    environment = SERVICES["kafka"]["environment"]
    assert "INTERNAL://kafka:19092" in environment["KAFKA_ADVERTISED_LISTENERS"]
    assert environment["KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR"] == 1
    assert TopicsSettings().replication_factor == 1


def test_gpu_variant_only_adds_to_the_learner() -> None:
    """The second file changes an existing service, with settings that exist."""
    text = (ROOT / "deploy" / "docker-compose.gpu.yml").read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]
    assert set(services) == {"learner"}
    settings = load_settings(take_flags([]), services["learner"]["environment"]).settings
    assert settings.learn.device == "cuda"


def test_build_targets_exist_and_only_one_has_torch() -> None:
    """The data path's image is built without the stage that installs torch."""
    targets = {SERVICES[name]["build"]["target"] for name in ("consumer", "learner")}
    assert targets == {"data-path", "learn"} <= set(stages())
    data_path = "\n".join([*stages()["build"], *stages()["data-path"]])
    assert "requirements/learn.txt" not in data_path
    assert "build-learn" not in data_path
    locked = (ROOT / "requirements" / "data-path.txt").read_text(encoding="utf-8")
    assert not re.search(r"^(torch|nvidia-|triton)", locked, re.MULTILINE)


@pytest.mark.parametrize("target", ["data-path", "learn"])
def test_image_runs_as_a_user_without_rights(target: str) -> None:
    """The last word of each image on who runs it is a number that is not root."""
    users = [line.split()[1] for line in stages()[target] if line.startswith("USER ")]
    assert users
    assert int(users[-1]) > 0


def test_image_installs_locked_packages_only() -> None:
    """Every install from outside checks hashes; no index is named."""
    installs = re.findall(r"pip install[^&\n]*", DOCKERFILE.replace("\\\n", " "))
    assert len(installs) == 4
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)
    assert "index-url" not in DOCKERFILE


def test_image_copies_what_exists_and_is_sent_to_the_builder() -> None:
    """Each COPY source is in the repository and let through by .dockerignore."""
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [source for line in copies for source in line.split()]
    assert sources
    assert [each for each in sources if not (ROOT / each).exists()] == []
    assert [each for each in sources if f"!{each.split('/')[0]}" not in allowed] == []


def test_locks_pin_every_package_with_hashes_and_name_no_index() -> None:
    """A lock line is name==version with at least one hash, and nothing else is in there."""
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            assert re.match(r"[a-z0-9_.-]+==\S+( ; .+?)?( +--hash=sha256:[0-9a-f]{64})+ *$", line)


@needs("promtool")
def test_prometheus_accepts_its_configuration() -> None:
    """The program promtool finds no fault in the scrape configuration."""
    promtool = shutil.which("promtool")
    assert promtool
    file = ROOT / "deploy" / "prometheus" / "prometheus.yml"
    done = subprocess.run(
        [promtool, "check", "config", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
