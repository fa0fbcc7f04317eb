"""Machine code on disk is not used after its sources have changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import metarec_stream
from metarec_stream.compiled import cache_folder
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
    trees = {
        name: copied(tmp_path, name, package, source)
        for name, package, source in (
            ("one", "state", "LIMIT = 1"),
            ("same", "state", "LIMIT = 1"),
            ("two", "state", "LIMIT = 2"),
        )
    }
    (trees["same"] / "evaluate").mkdir()
    (trees["same"] / "evaluate" / "caller.py").write_text("x = 1")
    folders = {
        name: cache_folder(tree, "metarec_stream.pipeline.rank", environment)
        for name, tree in trees.items()
    }
    assert folders["one"] == folders["same"] != folders["two"]
    assert folders["one"].is_relative_to(tmp_path / ".cache")


def test_the_kernels_use_that_cache() -> None:
    """Each is kept where its own module says."""
    environment = dict(os.environ)
    packages = Path(metarec_stream.__file__).parent
    kernels: list[Any] = [rank_events, insert]
    for kernel in kernels:
        expected = cache_folder(packages, kernel.__module__, environment)
        assert Path(kernel._cache.cache_path).is_relative_to(expected)
