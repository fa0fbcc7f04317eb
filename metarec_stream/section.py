"""The base of every settings section: frozen, and an unknown key is an error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings, declared beside the code that uses them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
