"""Every setting as an option: its name, flag and environment variable, and what it allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from metarec_stream.config import Settings
from metarec_stream.section import Section

PREFIX = "METAREC_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
_BOUNDS = ((annotated_types.Ge, "ge", "≥"), (annotated_types.Gt, "gt", ">"),
           (annotated_types.Le, "le", "≤"), (annotated_types.Lt, "lt", "<"))  # fmt: skip


@dataclass(frozen=True)
class Option:
    """One setting: where it is in the tree of sections, and its declaration."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def name(self) -> str:
        """Its name in TOML and in messages: `kafka.bootstrap_servers`."""
        return ".".join(self.path)

    @property
    def flag(self) -> str:
        """Its flag: `--kafka.bootstrap-servers`."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its environment variable: `METAREC_KAFKA__BOOTSTRAP_SERVERS`."""
        return PREFIX + "__".join(self.path).upper()

    @property
    def optional(self) -> bool:
        """Whether it may be absent (None)."""
        return NoneType in _members(self.field.annotation)

    @property
    def type(self) -> Any:
        """Its type, without the None of an optional one."""
        return next(kind for kind in _members(self.field.annotation) if kind is not NoneType)

    @property
    def is_switch(self) -> bool:
        """Whether its flag needs no value."""
        return self.type is bool

    @property
    def is_structured(self) -> bool:
        """Whether its text form, in flags and the environment, is JSON."""
        return (get_origin(self.type) or self.type) in {dict, list, tuple, set, frozenset}

    @property
    def is_secret(self) -> bool:
        """Whether its value is never shown."""
        return self.type is SecretStr

    @property
    def description(self) -> str:
        """What it does, on one line."""
        return " ".join((self.field.description or "").split())

    @property
    def type_name(self) -> str:
        """Its type in words."""
        names = {int: "integer", float: "number", bool: "true or false", SecretStr: "secret text"}
        if get_origin(self.type) is Literal:
            return "one of"
        if self.is_structured:
            return "table" if get_origin(self.type) is dict else "list"
        return names.get(self.type, "text")

    @property
    def allowed(self) -> str:
        """The values it takes, in words; empty where its type says it all."""
        if get_origin(self.type) is Literal:
            return ", ".join(str(choice) for choice in get_args(self.type))
        parts = []
        for kind, attribute, sign in _BOUNDS:
            bounds = [entry for entry in self.field.metadata if isinstance(entry, kind)]
            parts += [f"{sign} {_number(getattr(bound, attribute))}" for bound in bounds]
        patterns = [getattr(entry, "pattern", None) for entry in self.field.metadata]
        parts += [f"text like {pattern}" for pattern in patterns if pattern]
        return " and ".join(parts)


@cache
def options() -> tuple[Option, ...]:
    """All settings, in the order of their declaration."""
    return tuple(_walk(Settings, ()))


@cache
def sections() -> dict[tuple[str, ...], type[Section]]:
    """Every section by its path; the root has the empty path."""
    return dict(_sections(Settings, ()))


def _walk(section: type[Section], path: tuple[str, ...]) -> Iterator[Option]:
    for name, field in section.model_fields.items():
        inner = _section_of(field)
        if inner is None:
            yield Option((*path, name), field)
        else:
            yield from _walk(inner, (*path, name))


def _sections(
    section: type[Section], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], type[Section]]]:
    yield path, section
    for name, field in section.model_fields.items():
        inner = _section_of(field)
        if inner is not None:
            yield from _sections(inner, (*path, name))


def _section_of(field: FieldInfo) -> type[Section] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _members(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in {Union, UnionType}:
        return get_args(annotation)
    return (annotation,)


def _number(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:,g}"
