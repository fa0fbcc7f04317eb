"""The program: subcommands, where settings come from, and what errors become."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import structlog
from kafka.errors import KafkaTimeoutError

from metarec_stream.commands.main import COMMANDS, main
from metarec_stream.config import Settings
from metarec_stream.errors import Degraded, Fatal
from metarec_stream.settings_sources import BadConfiguration, load_settings, take_flags

HEAVY = "{'torch', 'polars', 'numba', 'kafka', 'river', 'scipy'}"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings from outside, and the logging of other tests put back afterwards."""
    for variable in list(os.environ):
        if variable.startswith("METAREC_"):
            monkeypatch.delenv(variable)
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def loaded(*arguments: str, environment: dict[str, str] | None = None) -> Settings:
    """The settings of a command line and an environment."""
    return load_settings(take_flags(arguments), environment or {}).settings


def refusal(*arguments: str, environment: dict[str, str] | None = None) -> str:
    """The message of settings that cannot be used."""
    with pytest.raises(BadConfiguration) as refused:
        loaded(*arguments, environment=environment)
    return str(refused.value)


def run_python(code: str) -> str:
    """What a fresh interpreter prints for this code."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    """`metarec --help` is quick: neither torch nor the data path is imported for it."""
    code = (
        "import sys; from metarec_stream.commands.main import main; main(['--help']); "
        f"print('heavy:', sorted({HEAVY} & set(sys.modules)))"
    )
    shown = run_python(code)
    assert "heavy: []" in shown
    assert all(f" {name} " in shown for name in COMMANDS)


def test_every_command_loads_without_torch() -> None:
    """Each subcommand's module exists, has its function, and leaves torch to its callees."""
    code = (
        "import sys; from metarec_stream.commands.main import COMMANDS, build_app; "
        "app = build_app(); print(all(callable(app[name].default_command) for name in COMMANDS), "
        "'torch' in sys.modules)"
    )
    assert run_python(code).split() == ["True", "False"]


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    """The first source that gives a setting decides it; the others still give the rest."""
    file = tmp_path / "metarec.toml"
    file.write_text("seed = 1\nemit = 'per_event'\n[kafka]\ngroup = 'file'\nsasl_username = 'u'\n")
    environment = {"METAREC_SEED": "2", "METAREC_KAFKA__GROUP": "variable"}
    settings = loaded("--seed", "3", "--config", str(file), environment=environment)
    assert (settings.seed, settings.kafka.group) == (3, "variable")
    assert (settings.emit, settings.kafka.sasl_username) == ("per_event", "u")
    assert settings.rank.top_k == Settings().rank.top_k


def test_configuration_file_from_the_environment_gives_way_to_the_flag(tmp_path: Path) -> None:
    """METAREC_CONFIG names a file like --config; the flag replaces it."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"application = '{name}'")
    environment = {"METAREC_CONFIG": str(tmp_path / "one")}
    assert loaded(environment=environment).application == "one"
    both = loaded("--config", str(tmp_path / "two"), environment=environment)
    assert both.application == "two"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--topics.create"], True),
        (["--no-topics.create"], False),
        (["--topics.create", "false"], False),
        (["--topics.create=false"], False),
        (["--topics.create", "events.csv"], True),
    ],
)
def test_a_switch_is_a_bare_flag_or_has_a_value(arguments: list[str], expected: bool) -> None:
    """A switch takes the next argument only where that is true or false."""
    assert loaded(*arguments).topics.create is expected


def test_flags_are_taken_out_and_the_command_keeps_the_rest() -> None:
    """Settings may stand anywhere; underscores are hyphens; all after `--` is left alone."""
    flags = take_flags(
        ["produce", "--kafka.bootstrap_servers=b:1", "f.csv", "--limit", "3", "--", "--seed", "1"]
    )
    assert list(flags.rest) == ["produce", "f.csv", "--limit", "3", "--", "--seed", "1"]
    assert [(option.name, given.value) for option, given in flags.given.items()] == [
        ("kafka.bootstrap_servers", "b:1")
    ]


def test_tables_are_json_and_empty_means_absent() -> None:
    """A table comes as JSON in a variable; an empty variable leaves an optional setting absent."""
    environment = {"METAREC_EVENTS__WEIGHTS": '{"stream": 0.5}', "METAREC_INSTANCE_ID": ""}
    settings = loaded(environment=environment)
    assert settings.events.weights == {"stream": 0.5}
    assert settings.instance_id is None


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["--kafka.grup", "x"], {}, ["--kafka.grup", "did you mean --kafka.group?"]),
        ([], {"METAREC_KAFKA_GROUP": "x"}, ["METAREC_KAFKA_GROUP", "METAREC_KAFKA__GROUP?"]),
        ([], {"METAREC_EMITS": "x"}, ["METAREC_EMITS", "did you mean METAREC_EMIT?"]),
        (["--emit", "sometimes"], {}, ["emit = 'sometimes'", "--emit", "per_user, per_event"]),
        (["--http.port=99999"], {}, ["http.port = '99999'", "≥ 0 and ≤ 65,535"]),
        ([], {"METAREC_SEED": "one"}, ["seed = 'one' from METAREC_SEED", "integer"]),
        ([], {"METAREC_EVENTS__WEIGHTS": "{"}, ["events.weights", "must be JSON"]),
        (["--config", "nowhere.toml"], {}, ["nowhere.toml", "cannot be read"]),
        (["--kafka.group"], {}, ["--kafka.group needs a value"]),
        (["--kafka.group", "--seed", "1"], {}, ["--kafka.group needs a value"]),
    ],
)
def test_bad_configuration_names_the_key_and_what_is_allowed(
    arguments: list[str], environment: dict[str, str], named: list[str]
) -> None:
    """An unknown key, a bad value or a missing file says which, and what would do."""
    message = refusal(*arguments, environment=environment)
    assert [part for part in named if part not in message] == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[kafka]\ngrup = 'x'", ["kafka.grup", "did you mean kafka.group?"]),
        ("[kafak]\ngroup = 'x'", ["kafak", "did you mean kafka"]),
        ("kafka = 'b:9092'", ["kafka", "[kafka]"]),
        ("seed = -1", ["seed = -1", "≥ 0"]),
        ("seed = ", ["is not TOML"]),
    ],
)
def test_a_bad_file_is_refused_by_key(tmp_path: Path, text: str, named: list[str]) -> None:
    """The same holds for keys of the file, which the message names."""
    file = tmp_path / "metarec.toml"
    file.write_text(text)
    message = refusal("--config", str(file))
    assert [part for part in [*named, str(file)] if part not in message] == []


def test_a_bad_secret_is_not_shown(tmp_path: Path) -> None:
    """A message about a secret setting names it and leaves its value out."""
    file = tmp_path / "metarec.toml"
    file.write_text("[kafka]\nsasl_password = 31415926")
    message = refusal("--config", str(file))
    assert "kafka.sasl_password" in message
    assert "31415926" not in message


@pytest.mark.parametrize(
    "arguments",
    [
        ["config", "--kafka.grup", "x"],
        ["config", "--seed", "-1"],
        ["config", "--jsn"],
        ["config", "surplus"],
        ["confg"],
    ],
)
def test_misuse_ends_with_status_2_and_no_trace(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A command line that cannot be run ends at once with 2 and a line on standard error."""
    assert main(arguments) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("metarec: ")
    assert "Traceback" not in errors


def test_help_is_shown_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who asks for help because the configuration is broken gets it."""
    monkeypatch.setenv("METAREC_NONSENSE", "1")
    assert main(["config", "--help"]) == 0
    assert "--reference" in capsys.readouterr().out
    assert main(["config"]) == 2


def test_unknown_flag_and_command_suggest_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error is answered with the flag or command that was probably meant."""
    main(["config", "--jsn"])
    main(["sevre"])
    errors = capsys.readouterr().err
    assert "unknown flag --jsn: did you mean --json?" in errors
    assert "unknown command sevre: did you mean serve?" in errors


@pytest.fixture
def fake_command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module in the place of `metarec serve`; its `serve` is set by the test."""
    module = ModuleType("metarec_stream.commands.serve")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.mark.parametrize(
    "error",
    [
        Fatal("no broker at b:1:\nset X"),
        Degraded("half\nway"),
        KafkaTimeoutError("Unable to bootstrap"),
    ],
)
def test_fatal_is_one_line_of_log_and_status_1(
    fake_command: ModuleType, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    """An error that ends the process is one line, not a stack trace."""

    def serve() -> int:
        raise error

    fake_command.__dict__["serve"] = serve
    assert main(["serve"]) == 1
    errors = capsys.readouterr().err
    assert len(errors.splitlines()) == 1
    assert " ".join(str(error).split()) in errors


def test_a_missing_extra_is_named(
    fake_command: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without torch the learner says which extra to install; other missing modules are faults."""

    def serve(*, module: str = "torch") -> int:
        raise ModuleNotFoundError("gone", name=module)

    fake_command.__dict__["serve"] = serve
    assert main(["serve"]) == 1
    assert "metarec-stream[learn]" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):
        main(["serve", "--module", "metarec_stream.nothing"])


def test_logs_are_json_where_asked(
    fake_command: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """log.format and log.level decide what the logs look like and which are written."""

    def serve() -> int:
        log = structlog.get_logger()
        log.info("too_quiet")
        log.warning("loud", partition=3)
        logging.getLogger("kafka.client").warning("from a library")
        return 0

    fake_command.__dict__["serve"] = serve
    main(["serve", "--log.format", "json", "--log.level", "warning"])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert '"event": "loud"' in lines[0]
    assert '"partition": 3' in lines[0]
    assert '"event": "from a library"' in lines[1]
