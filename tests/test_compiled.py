"""Machine code on disk is not used after its sources have changed."""

from __future__ import annotations

from pathlib import Path

import numba

from metarec_stream.compiled import cache_folder
from metarec_stream.pipeline.rank import rank_events


def test_any_change_of_a_compiled_package_gives_another_cache(tmp_path: Path) -> None:
    """Also one in a file that only others call; a change elsewhere gives the same."""
    (tmp_path / "state").mkdir()
    callee = tmp_path / "state" / "callee.py"
    callee.write_text("LIMIT = 1")
    environment = {"HOME": str(tmp_path)}
    before = cache_folder(tmp_path, environment)
    (tmp_path / "elsewhere.py").write_text("x = 1")
    assert cache_folder(tmp_path, environment) == before
    callee.write_text("LIMIT = 2")
    assert cache_folder(tmp_path, environment) != before
    assert before.is_relative_to(tmp_path / ".cache")


def test_the_kernels_use_that_cache() -> None:
    """The setting is made before the first function is compiled."""
    assert rank_events._cache.cache_path.startswith(numba.config.CACHE_DIR)  # type: ignore[attr-defined]
