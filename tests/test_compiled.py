"""Machine code on disk is of the sources as they are, and of one process."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import metarec_stream
from metarec_stream import compiled
from metarec_stream.compiled import cache_folder, compile_batch_once
from metarec_stream.errors import Fatal
from metarec_stream.pipeline.rank import rank_events
from metarec_stream.state.rings import insert


def copied(folder: Path, name: str, package: str, source: str) -> Path:
    """A tree of one file, in a folder of its own: digests are remembered by folder."""
    tree = folder / name
    (tree / package).mkdir(parents=True)
    (tree / package / "callee.py").write_text(source)
    return tree


def test_any_change_of_what_a_module_may_call_gives_another_cache(tmp_path: Path) -> None:
    """Also one in a file that only others call; one in a package above gives the same."""
    environment = {"HOME": str(tmp_path)}

    def folder(package: str) -> Path:
        compiled._digest_of.cache_clear()
        return cache_folder(tree, f"metarec_stream.{package}.rank", environment)

    tree = copied(tmp_path, "one", "state", "LIMIT = 1")
    before = folder("pipeline")
    assert folder("state") == before
    (tree / "evaluate").mkdir()
    (tree / "evaluate" / "caller.py").write_text("x = 1")
    assert folder("pipeline") == before != folder("evaluate")
    (tree / "state" / "callee.py").write_text("LIMIT = 2")
    assert folder("pipeline") != before
    assert before.is_relative_to(tmp_path / ".cache")


def noting(notes: Path, status: int = 0) -> list[str]:
    """A command that takes a moment, notes that it ran, and ends with a status."""
    said = f"import time; time.sleep(0.2); open({str(notes)!r}, 'a').write('ran '); exit({status})"
    return [sys.executable, "-c", said]


def test_one_process_compiles_on_an_empty_folder(tmp_path: Path) -> None:
    """However many ask at once: what was there piece by piece is deleted, once."""
    tree = copied(tmp_path, "one", "pipeline", "LIMIT = 1")
    environment, notes = {"HOME": str(tmp_path)}, tmp_path / "notes"
    piece = cache_folder(tree, "metarec_stream.pipeline.rank", environment) / "piece"
    piece.parent.mkdir(parents=True)
    piece.touch()
    with ThreadPoolExecutor(4) as asking:
        for _ in range(4):
            asking.submit(compile_batch_once, noting(notes), tree, environment)
    assert notes.read_text() == "ran "
    assert not piece.exists()


def test_what_did_not_compile_is_not_taken_for_compiled(tmp_path: Path) -> None:
    """A command that fails is Fatal, and runs again at the next start."""
    tree = copied(tmp_path, "one", "pipeline", "LIMIT = 1")
    environment, notes = {"HOME": str(tmp_path)}, tmp_path / "notes"
    for _ in range(2):
        with pytest.raises(Fatal, match="could not be compiled into"):
            compile_batch_once(noting(notes, status=3), tree, environment)
    assert notes.read_text() == "ran ran "


def test_the_kernels_use_that_cache() -> None:
    """Each is kept where its own module says."""
    environment = dict(os.environ)
    packages = Path(metarec_stream.__file__).parent
    kernels: list[Any] = [rank_events, insert]
    for kernel in kernels:
        expected = cache_folder(packages, kernel.__module__, environment)
        assert Path(kernel._cache.cache_path).is_relative_to(expected)
