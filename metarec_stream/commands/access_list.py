"""The access control list of every program, as Markdown: a table, and commands that grant it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from metarec_stream.config import Settings
from metarec_stream.kafka.rights import ROLES, Right, creating_rights

_FUNCTION = (
    'allow() { kafka-acls --bootstrap-server "$BROKERS" --command-config admin.properties --add \\',
    '  --allow-principal "User:$1" "${@:2}"; }',
)


def access_list(settings: Settings) -> str:
    """For the names of topics, group and application in these settings."""
    return "\n".join([*_table(settings), "", "```sh", *_commands(settings), "```", ""])


def _table(settings: Settings) -> Iterator[str]:
    yield "| program | operation | on | name |"
    yield "|---|---|---|---|"
    for role, rights in ROLES.items():
        for right in rights(settings):
            kind = right.kind + (", prefixed" if right.prefixed else "")
            yield f"| {role} | {right.operation} | {kind} | `{right.name}` |"


def _commands(settings: Settings) -> Iterator[str]:
    yield from _FUNCTION
    for role, rights in ROLES.items():
        yield from _grants(role, rights(settings))
    yield "# where topics are missing and the administrator does not create them:"
    yield from _grants("consumer", creating_rights(settings))


def _grants(user: str, rights: Iterable[Right]) -> Iterator[str]:
    """One command for each operation and kind of resource, for all its names."""
    grouped: dict[tuple[str, str, bool], list[str]] = {}
    for right in rights:
        names = grouped.setdefault((right.operation, right.kind, right.prefixed), [])
        names.append(f"--{right.kind} {right.name}")
    for (operation, _, prefixed), names in grouped.items():
        pattern = " --resource-pattern-type prefixed" if prefixed else ""
        yield f"allow {user} --operation {operation}{pattern} \\"
        yield f"  {' '.join(names)}"
