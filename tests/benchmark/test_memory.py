"""Growth of the process's memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from metarec_stream.benchmark import memory
from metarec_stream.benchmark.memory import MemoryGrowth


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_was_taken_and_given_back_counts() -> None:
    """80 MB for a moment; what came and went before does not count."""
    np.ones(20_000_000).sum()
    growth = MemoryGrowth()
    np.ones(10_000_000).sum()
    grown, peak = growth.grown(), growth.peak()
    assert grown is not None
    assert peak is not None
    assert 70e6 < grown < 120e6
    assert peak > grown


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_was_free_in_the_process_counts_when_it_is_taken_again() -> None:
    """40 MB in small pieces are given back but for every fiftieth, then taken once more."""
    pieces = [bytearray(4_000) for _ in range(10_000)]
    kept = pieces[::50]
    del pieces
    growth = MemoryGrowth()
    pieces = [bytearray(4_000) for _ in range(10_000)]
    grown = growth.grown()
    assert len(kept) < len(pieces)
    assert grown is not None
    assert grown > 30e6


def test_a_system_that_does_not_tell_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no figure then, rather than a wrong one."""
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "absent" / "clear")
    growth = MemoryGrowth()
    assert (growth.grown(), growth.peak()) == (None, None)
