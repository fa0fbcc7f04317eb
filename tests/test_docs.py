"""What README and docs name exists: commands, flags, settings, variables, metrics, files."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from metarec_stream.clock import JUMPS_VARIABLE
from metarec_stream.commands.main import COMMANDS, build_app
from metarec_stream.crash_points import VARIABLE as CRASH_VARIABLE
from metarec_stream.metrics import ConsumerMetrics, LearnerMetrics
from metarec_stream.settings_options import CONFIG_VARIABLE, options, sections
from metarec_stream.settings_sources import take_flags

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def each_page() -> pytest.MarkDecorator:
    """Run the test for every page, named by its path."""
    return pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def code_of(page: Path) -> list[str]:
    """Lines of code blocks, and what stands between backticks."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()] + re.findall(
        r"`([^`\n]+)`", prose
    )


@cache
def flags_of(command: str) -> frozenset[str]:
    """The flags of a subcommand itself, and those of every command."""
    arguments = build_app()[command].assemble_argument_collection()
    own = {name for argument in arguments for name in argument.names}
    return frozenset(own | {option.flag for option in options()} | {"--help", "--config"})


@each_page()
def test_commands_and_their_flags_exist(page: Path) -> None:
    """Each `metarec …` names a subcommand, and only flags that it takes."""
    for line in code_of(page):
        for command, rest in re.findall(r"(?:^|[ /])metarec ([a-z]+)([^`|#]*)", line):
            assert command in COMMANDS, line
            flags = re.findall(r"(?<!\S)--[a-z][a-z.-]*", rest)
            assert set(flags) <= flags_of(command), line
            take_flags(re.findall(r"\S+", rest.partition(" > ")[0]))


@each_page()
def test_variables_are_settings(page: Path) -> None:
    """Each METAREC_… is the variable of a setting, or names the file."""
    known = {option.variable for option in options()}
    known |= {CONFIG_VARIABLE, CRASH_VARIABLE, JUMPS_VARIABLE}
    named = set(re.findall(r"METAREC_[A-Z0-9_]+", page.read_text(encoding="utf-8")))
    assert named - known - {"METAREC_"} == set()


@each_page()
def test_dotted_names_are_settings(page: Path) -> None:
    """What looks like a setting of a section is one."""
    names = {option.name for option in options()}
    tops = {path[0] for path in sections() if path}
    for code in code_of(page):
        found = re.fullmatch(r"([a-z_]+\.[a-z_]+)( = .*)?", code)
        if found and found[1].partition(".")[0] in tops and not (ROOT / found[1]).exists():
            assert found[1] in names or _is_module(found[1]), code


@each_page()
def test_metrics_exist(page: Path) -> None:
    """Each metarec_… is exported, or is the package."""
    registry = CollectorRegistry()
    ConsumerMetrics(registry)
    LearnerMetrics(registry)
    families = {family.name for family in registry.collect()}
    named = set(re.findall(r"\bmetarec_[a-z0-9_]+", page.read_text(encoding="utf-8")))
    bare = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in named}
    assert bare - families - {"metarec_stream"} == set()


@each_page()
def test_links_and_paths_exist(page: Path) -> None:
    """Relative links lead somewhere, and paths in backticks are files of the repository."""
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    paths = [code for code in code_of(page) if re.fullmatch(r"\.?[\w-]+(/[\w.-]+)+/?", code)]
    assert [path for path in paths if not (ROOT / path).exists() and path[:5] != ".venv"] == []


@each_page()
def test_make_targets_exist(page: Path) -> None:
    """Each `make …` is a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = {name for code in code_of(page) for name in re.findall(r"(?:^| )make ([a-z]+)", code)}
    assert named <= targets


def test_readme_names_every_command() -> None:
    """Somebody who reads the README alone has heard of all that the program does."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:metarec|make) ([a-z]+)", text))
    assert set(COMMANDS) - named == set()


def test_every_dependency_has_its_reason() -> None:
    """docs/dependencies.md has a row for each declared package, and no row for others."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    declared = [*project["dependencies"], *(each for extra in extras for each in extra)]
    packages = {re.split(r"[\[>=~]", each)[0] for each in declared} - {project["name"]}
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z0-9, -]+) \|", page, re.MULTILINE)
    assert {name for row in rows for name in row.split(", ")} - {"package"} == packages


def _is_module(dotted: str) -> bool:
    path = ROOT / "metarec_stream" / dotted.replace(".", "/")
    return path.with_suffix(".py").exists() or path.is_dir()
