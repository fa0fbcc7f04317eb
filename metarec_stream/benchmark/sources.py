"""What produced a figure: the code a model runs, the release and commit, and the data files."""

from __future__ import annotations

import ast
import hashlib
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import metarec_stream

_PACKAGE = Path(metarec_stream.__file__).parent
_NAME = metarec_stream.__name__


def code_digest(modules: Sequence[str]) -> str:
    """Of all of this package's code that the modules import, directly or not.

    Comments and formatting do not count. Neither do the declarations of settings: their values
    are part of what identifies a cell.
    """
    digest = hashlib.sha256()
    for module in sorted(_closure(modules)):
        digest.update(f"{module}\n{_meaning(module)}\n".encode())
    return digest.hexdigest()


@cache
def file_digest(path: Path) -> str:
    """Of a data file's bytes; raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def commit() -> str | None:
    """The checkout's commit, with `+` if files of it have changed since; None outside of git."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if head is None:
        return None
    return f"{head}+" if _git("status", "--porcelain", "--", _NAME) else head


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=_PACKAGE.parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _closure(modules: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found and _file_of(module) is not None:
            found.add(module)
            waiting += _imported(module)
    return found


def _file_of(module: str) -> Path | None:
    """The module's source, if it is of this package and declares no settings."""
    top, *rest = module.split(".")
    if top != _NAME or module == f"{_NAME}.config" or module.endswith(".settings"):
        return None
    path = _PACKAGE.joinpath(*rest)
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


@cache
def _tree(module: str) -> ast.Module:
    file = _file_of(module)
    return ast.parse(file.read_text(encoding="utf-8") if file else "")


@cache
def _meaning(module: str) -> str:
    return ast.dump(_tree(module))


def _imported(module: str) -> list[str]:
    names: list[str] = []
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # What is imported from a package may be a module of it.
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
