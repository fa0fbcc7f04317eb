"""Several processes learn what one learns, and end together."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from metarec_stream.errors import Fatal
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.place import ALONE, Place, place_of
from metarec_stream.learner.processes import Processes
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.learner.start import built_in_version
from tests.learner import several
from tests.learner.planted import planted_block, quick_settings

CPU = LearnSettings(device="cpu")


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """Over gloo on CPUs: the same weights, optimizers and versions but for rounding."""
    running = several.start(2, tmp_path)
    alone = several.learn(Processes(CPU))
    assert several.statuses(running) == [0, 0]
    together, follower = (load_file(tmp_path / f"learned-{rank}") for rank in (0, 1))
    for name, array in follower.items():
        np.testing.assert_array_equal(array, together[name], name)
    assert sorted(together) == sorted(alone) == sorted([*follower, "published"])
    assert len(alone["published"]) >= 2
    np.testing.assert_allclose(together["published"], alone["published"], rtol=1e-4)
    for name, array in alone.items():
        if name.startswith(("anchor/", "candidate/", "average/", "uses/", "parent/", "adagrad/")):
            np.testing.assert_allclose(together[name], array, rtol=1e-2, atol=1e-2, err_msg=name)
    moved = np.abs(alone["candidate/embedding"]).max()
    assert moved > 0.1, "nothing was learned, so nothing was compared"


def test_a_dead_process_ends_the_others(tmp_path: Path) -> None:
    """After kill -9 of a follower, leader and other followers end by a Fatal that says so."""
    running = several.start(3, tmp_path, dies_at=5)
    assert several.statuses(running) == [1, 1, -9]
    for rank in (0, 1):
        said = (tmp_path / f"fatal-{rank}").read_text(encoding="utf-8")
        assert "another process of this learner has ended" in said


def test_shares_are_the_whole() -> None:
    """Every event is in exactly one share, and all processes have as many of the first events."""
    for count in (0, 1, 2, 5, 256, 257):
        for size in (1, 2, 3, 8):
            one = Processes(CPU)
            parts = []
            for rank in range(size):
                one.place = Place(rank, size, size)
                parts.append(list(range(count))[one.share(count)])
            assert sorted(itertools.chain.from_iterable(parts)) == list(range(count))
            firsts = [sum(event < count // 2 for event in part) for part in parts]
            assert max(firsts) - min(firsts) <= 1


def test_the_place_is_torchruns() -> None:
    """Without its variables a process is alone."""
    assert place_of({}) == ALONE
    assert place_of({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}) == ALONE
    given = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    assert place_of(given) == Place(3, 4, 2)


def test_bf16_is_of_products_alone() -> None:
    """Losses and everything that is kept are 32-bit, and the planted problem is learned as well."""
    last = {}
    for precision in ("32", "bf16"):
        settings = quick_settings(precision=precision)
        one = Learner(settings, built_in_version(settings))
        versions = []
        for number in range(40):
            one.take(planted_block(number))
            versions.append(one.decide(number))
        last[precision] = [version for version in versions if version][-1]
        arrays = one.replica.arrays()
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    for name, array in last["32"].parameters.items():
        assert last["bf16"].parameters[name].dtype == np.float32
        if name == "embedding":
            assert not np.array_equal(last["bf16"].parameters[name], array), "it had no effect"
    loss = {precision: version.metrics["loss"] for precision, version in last.items()}
    assert loss["bf16"] == pytest.approx(loss["32"], rel=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a CUDA device")
def test_more_processes_than_gpus_is_fatal() -> None:
    """It says how many there are."""
    with pytest.raises(Fatal, match="no usable GPU for 2 process"):
        Processes(LearnSettings(device="cuda"), Place(0, 2, 2))
