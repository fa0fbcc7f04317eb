"""`metarec config`: the effective settings, or the reference of all settings."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import SecretStr

from metarec_stream.commands.access_list import access_list
from metarec_stream.commands.reference import settings_reference
from metarec_stream.config import Settings
from metarec_stream.settings_options import Option, options

MASK = "**********"


def config(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    reference: Annotated[bool, Parameter(negative="")] = False,
    access: Annotated[bool, Parameter(negative="")] = False,
    settings: Annotated[Settings, Parameter(parse=False)],
    origins: Annotated[Mapping[str, str], Parameter(parse=False)],
) -> int:
    """Print the effective settings as TOML, each given one with where it came from.

    The output is itself a configuration file. Secrets are masked.

    Parameters
    ----------
    as_json
        Print JSON instead of TOML.
    reference
        Print the reference of all settings (docs/reference/settings.md) instead.
    access
        Print what each program has to be allowed on the brokers instead (docs/security.md).
    """
    if reference:
        print(settings_reference(), end="")
    elif access:
        print(access_list(settings), end="")
    elif as_json:
        print(json.dumps(settings.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        print(as_toml(settings, origins), end="")
    return 0


def as_toml(
    settings: Settings, origins: Mapping[str, str], names: Container[str] | None = None
) -> str:
    """The settings as TOML; absent and secret ones are comments, so that it can be loaded.

    names: of those that are written; all of them without it.
    """
    lines: list[str] = []
    section: tuple[str, ...] = ()
    for option in options():
        if names is not None and option.name not in names:
            continue
        if option.path[:-1] != section:
            section = option.path[:-1]
            lines += ["", f"[{'.'.join(section)}]"]
        origin = origins.get(option.name)
        lines.append(_line(option, _value(settings, option)) + (f"  # {origin}" if origin else ""))
    return "\n".join(lines) + "\n"


def _value(settings: Settings, option: Option) -> Any:
    value: Any = settings
    for name in option.path:
        value = getattr(value, name)
    return value


def _line(option: Option, value: Any) -> str:
    key = option.path[-1]
    if value is None:
        return f"# {key} is absent"
    if isinstance(value, SecretStr):
        return f"# {key} = {json.dumps(MASK)} is set"
    return f"{key} = {_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{json.dumps(str(key))} = {_toml(each)}" for key, each in value.items())
        return f"{{{pairs}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(each) for each in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
