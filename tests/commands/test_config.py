"""`metarec config`: what is in effect, where it came from, and the reference of all settings."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from metarec_stream.commands.config import as_toml, config
from metarec_stream.commands.reference import settings_reference
from metarec_stream.config import Settings
from metarec_stream.settings_options import options
from metarec_stream.settings_sources import LoadedSettings, load_settings, take_flags

ROOT = Path(__file__).parents[2]


def load(*arguments: str, environment: dict[str, str] | None = None) -> LoadedSettings:
    """The settings of a command line and an environment, with their origins."""
    return load_settings(take_flags(arguments), environment or {})


def test_output_is_a_configuration_file_of_the_same_settings(tmp_path: Path) -> None:
    """What is printed can be loaded again and means the same."""
    given = load(
        "--kafka.group=a b", "--events.weights", '{"stream": 0.5}', "--no-topics.create",
        "--data.dir", "/data", "--learn.table-rate", "1e-05",
    )  # fmt: skip
    file = tmp_path / "effective.toml"
    file.write_text(as_toml(given.settings, given.origins))
    assert load("--config", str(file)).settings == given.settings
    assert given.settings != Settings()


def test_every_setting_is_printed_with_its_origin_if_given() -> None:
    """No setting is left out; those that someone gave say where."""
    given = load("--seed", "7", environment={"METAREC_EMIT": "per_event"})
    lines = as_toml(given.settings, given.origins).splitlines()
    assert "seed = 7  # --seed" in lines
    assert 'emit = "per_event"  # METAREC_EMIT' in lines
    keys = [line.lstrip("# ").split(" ")[0] for line in lines if line and line[0] != "["]
    assert keys == [option.path[-1] for option in options()]


@pytest.mark.parametrize("as_json", [False, True])
def test_secrets_are_masked(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """A password is said to be set, and not shown."""
    given = load(environment={"METAREC_KAFKA__SASL_PASSWORD": "hunter2"})
    assert config(as_json=as_json, settings=given.settings, origins=given.origins) == 0
    shown = capsys.readouterr().out
    assert "hunter2" not in shown
    assert "**********" in shown


def test_json_has_the_sections(capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints the same tree for programs, TOML for people."""
    given = load("--rank.top-k", "5")
    config(as_json=True, settings=given.settings, origins=given.origins)
    tree = json.loads(capsys.readouterr().out)
    config(settings=given.settings, origins=given.origins)
    assert tree["rank"] == tomllib.loads(capsys.readouterr().out)["rank"] == {"top_k": 5}


def test_committed_reference_is_the_generated_one(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/reference/settings.md is written by `metarec config --reference`, never by hand."""
    config(reference=True, settings=Settings(), origins={})
    committed = ROOT / "docs" / "reference" / "settings.md"
    assert capsys.readouterr().out == committed.read_text(encoding="utf-8")


def test_reference_says_everything_about_every_setting() -> None:
    """Each setting has its variable, a default, and a meaning."""
    rows = [line for line in settings_reference().splitlines() if line.startswith("| `")]
    assert len(rows) == len(options())
    for option, row in zip(options(), rows, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert cells[:2] == [f"`{option.name}`", f"`{option.variable}`"]
        assert cells[3], f"{option.name} has no default"
        assert cells[-1].endswith("."), f"{option.name} has no description"
