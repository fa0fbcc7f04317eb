"""Settings handed on to a process of ours through its environment."""

from __future__ import annotations

import json
import os
from typing import Any

from pydantic import SecretStr

from metarec_stream.config import Settings
from metarec_stream.settings_options import PREFIX, Option, options


def environment_of(settings: Settings) -> dict[str, str]:
    """This process's environment with exactly these settings in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    defaults = Settings()
    for option in options():
        value = _value(settings, option)
        if value != _value(defaults, option):
            kept[option.variable] = _text(option, value)
    return kept


def _value(settings: Settings, option: Option) -> Any:
    value: Any = settings
    for name in option.path:
        value = getattr(value, name)
    return value


def _text(option: Option, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if option.is_structured or isinstance(value, bool):
        return json.dumps(value)
    return str(value)
