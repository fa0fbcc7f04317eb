"""The settings from flags, over the environment, over a TOML file, over the defaults."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from metarec_stream.clock import JUMPS_VARIABLE
from metarec_stream.config import Settings
from metarec_stream.crash_points import VARIABLE as CRASH_VARIABLE
from metarec_stream.errors import Fatal
from metarec_stream.settings_options import CONFIG_VARIABLE, PREFIX, Option, options, sections

CONFIG_FLAG = "--config"
_NO_SETTINGS = frozenset({CONFIG_VARIABLE, CRASH_VARIABLE, JUMPS_VARIABLE})
_SWITCH_WORDS = frozenset({"true", "false"})


class BadConfiguration(Fatal):
    """The settings cannot be used: the process ends before anything starts, with status 2."""


@dataclass(frozen=True)
class Given:
    """A value that someone gave, and where: a flag, a variable, or a file."""

    value: Any
    origin: str


@dataclass(frozen=True)
class Flags:
    """The settings among the arguments of a command line, and the arguments that are left."""

    given: Mapping[Option, Given]
    config: Path | None
    rest: Sequence[str]


@dataclass(frozen=True)
class LoadedSettings:
    """The effective settings; `origins` says by name where each given one came from."""

    settings: Settings
    origins: Mapping[str, str] = field(default_factory=dict)


def load_settings(flags: Flags, environment: Mapping[str, str]) -> LoadedSettings:
    """Merge all sources and validate.

    Raises BadConfiguration naming the key, what is allowed and, for an unknown key, the closest.
    """
    file = flags.config or _path(environment.get(CONFIG_VARIABLE))
    given = {
        **(_from_file(file) if file else {}),
        **_from_environment(environment),
        **flags.given,
    }
    tree: dict[str, Any] = {}
    for option, entry in given.items():
        branch = tree
        for section in option.path[:-1]:
            branch = branch.setdefault(section, {})
        branch[option.path[-1]] = entry.value
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as invalid:
        raise BadConfiguration(_explain(invalid, given)) from None
    return LoadedSettings(settings, {option.name: entry.origin for option, entry in given.items()})


def take_flags(arguments: Sequence[str]) -> Flags:
    """Take the settings out of a command line; all after `--` is left alone.

    Raises BadConfiguration for an unknown dotted flag, or a missing value.
    """
    by_flag = _by_flag()
    given: dict[Option, Given] = {}
    config: Path | None = None
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        flag, value = _split(argument)
        if argument == "--":
            rest += [argument, *waiting]
            break
        if flag == CONFIG_FLAG:
            config = Path(value if value is not None else _value(flag, waiting))
        elif flag in by_flag:
            option, switch = by_flag[flag]
            if value is None:
                value = _switch(switch, waiting) if switch else _value(flag, waiting)
            given[option] = Given(_parse(option, value, flag), flag)
        elif flag.startswith("--") and "." in flag:
            raise BadConfiguration(_unknown(f"flag {flag}", flag, by_flag))
        else:
            rest.append(argument)
    return Flags(given, config, rest)


def _by_flag() -> dict[str, tuple[Option, str]]:
    """Options by flag, each with the word that the bare flag of a switch stands for."""
    known = {option.flag: (option, "true" if option.is_switch else "") for option in options()}
    for option in options():
        if option.is_switch:
            known[option.flag.replace("--", "--no-", 1)] = (option, "false")
    return known


def _split(argument: str) -> tuple[str, str | None]:
    flag, equals, value = argument.partition("=")
    if not flag.startswith("--"):
        return argument, None
    return flag.replace("_", "-"), value if equals else None


def _value(flag: str, waiting: list[str]) -> str:
    if not waiting or waiting[0].startswith("--"):
        raise BadConfiguration(f"flag {flag} needs a value: {flag} VALUE or {flag}=VALUE")
    return waiting.pop(0)


def _switch(word: str, waiting: list[str]) -> str:
    explicit = word == "true" and bool(waiting) and waiting[0].lower() in _SWITCH_WORDS
    return waiting.pop(0) if explicit else word


def _from_environment(environment: Mapping[str, str]) -> dict[Option, Given]:
    by_variable = {option.variable: option for option in options()}
    given = {}
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable in _NO_SETTINGS:
            continue
        if variable not in by_variable:
            known = [*by_variable, CONFIG_VARIABLE]
            raise BadConfiguration(_unknown(f"environment variable {variable}", variable, known))
        option = by_variable[variable]
        given[option] = Given(_parse(option, environment[variable], variable), variable)
    return given


def _from_file(file: Path) -> dict[Option, Given]:
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as missing:
        raise BadConfiguration(
            f"configuration file {file} cannot be read ({missing.strerror}): name an existing TOML "
            f"file with {CONFIG_FLAG} or {CONFIG_VARIABLE}, or leave both out"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise BadConfiguration(f"configuration file {file} is not TOML: {broken}") from None
    return dict(_leaves(tree, (), str(file)))


def _leaves(
    table: Mapping[str, Any], path: tuple[str, ...], file: str
) -> Iterable[tuple[Option, Given]]:
    by_path = {option.path: option for option in options()}
    for key, value in table.items():
        inner = (*path, key)
        if inner in by_path:
            yield by_path[inner], Given(value, file)
        elif inner in sections():
            if not isinstance(value, dict):
                name = ".".join(inner)
                raise BadConfiguration(f"{name} in {file} is a section: write it as [{name}]")
            yield from _leaves(value, inner, file)
        else:
            known = [".".join(each) for each in [*by_path, *sections()] if each]
            name = ".".join(inner)
            raise BadConfiguration(_unknown(f"key {name} in {file}", name, known))


def _parse(option: Option, text: str, origin: str) -> Any:
    """A flag's or a variable's text as what the option's type takes; empty means absent."""
    if option.optional and not text:
        return None
    if not option.is_structured:
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as broken:
        raise BadConfiguration(
            f"{option.name} from {origin} must be JSON ({option.type_name}), got {text!r}: {broken}"
        ) from None


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.0)
    siblings = [each for each in names if _parent(each) == _parent(close[0])]
    return (
        f"unknown {what}: did you mean {close[0]}? Beside it are allowed: "
        f"{', '.join(sorted(siblings))}; all: `metarec config --reference`"
    )


def _parent(name: str) -> str:
    separator = "__" if name.startswith(PREFIX) else "."
    return name.rpartition(separator)[0]


def _explain(invalid: ValidationError, given: Mapping[Option, Given]) -> str:
    """Each bad value on a line: name, value (unless secret), origin, what is allowed."""
    lines = []
    for error in invalid.errors(include_url=False):
        location = tuple(str(part) for part in error["loc"])
        found = [option for option in options() if location[: len(option.path)] == option.path]
        if not found:
            lines.append(f"{'.'.join(location) or 'settings'}: {error['msg']}")
            continue
        option = found[0]
        entry = given.get(option)
        shown = "***" if option.is_secret else repr(error["input"])
        allowed = " ".join(part for part in (option.type_name, option.allowed) if part)
        origin = f" from {entry.origin}" if entry else ""
        lines.append(f"{option.name} = {shown}{origin}: {error['msg']}; allowed: {allowed}")
    return "\n".join(lines)
