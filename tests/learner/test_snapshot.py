"""A learner goes on from a checkpoint as if never stopped, under the topic's live version."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from metarec_stream.adapters.value_sum.parameters import TABLES, hashed_value
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.learner.checkpoint import CheckpointFolder
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.snapshot import Snapshot, reconciled
from metarec_stream.learner.start import built_in_version
from tests.learner.planted import ITEMS, planted_block, quick_settings

SETTINGS = quick_settings(proximal=0.01)


def run(one: Learner, blocks: range) -> list[MetaVersion]:
    """What is published over blocks of 50 events, so that some always wait for a step of 64."""
    published = []
    for number in blocks:
        block = planted_block(number, n=50, partition=number % 2)
        one.take(dataclasses.replace(block, items=[f"{i}-{number // 25}" for i in ITEMS]), number)
        version = one.decide(now_ms=1_000 + number)
        published += [version] if version else []
    return published


def begun() -> Learner:
    """One that starts from version 0."""
    return Learner(SETTINGS, built_in_version(SETTINGS))


def assert_same(one: Snapshot, other: Snapshot) -> None:
    """To the last bit."""
    assert one.progress == other.progress
    assert sorted(one.arrays) == sorted(other.arrays)
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], name)
        assert array.dtype == other.arrays[name].dtype, name


@pytest.mark.parametrize("stop", [1, 9, 31])
def test_resumed_in_the_middle_is_never_stopped(stop: int, tmp_path: Path) -> None:
    """To the last bit, through the file: weights, optimizers, replay, gate, drift, versions.

    At block 1 nothing is learned, at 9 nothing is replayed or published, at 31 all of it.
    """
    whole = begun()
    expected = run(whole, range(60))
    first = begun()
    published = run(first, range(stop))
    folder = CheckpointFolder(tmp_path, {})
    folder.write(first.snapshot())
    live = published[-1] if published else built_in_version(SETTINGS)
    again = Learner(SETTINGS, live, checkpoint=folder.newest())
    assert_same(first.snapshot(), again.snapshot())
    published += run(again, range(stop, 60))
    assert [version.version for version in published] == [each.version for each in expected]
    assert len(expected) >= 3
    for version, other in zip(expected, published, strict=True):
        assert version.metrics == other.metrics
        assert version.task_offsets == other.task_offsets
        for name, array in version.parameters.items():
            np.testing.assert_array_equal(array, other.parameters[name])
    assert_same(whole.snapshot(), again.snapshot())


def test_events_that_wait_are_not_read_again() -> None:
    """What a full block waits for is in the checkpoint: reading goes on after it."""
    first = begun()
    run(first, range(2))
    assert first.taken_offsets == {0: 0, 1: 1}
    assert first.task_offsets == {0: 0}
    again = Learner(SETTINGS, built_in_version(SETTINGS), checkpoint=first.snapshot())
    assert again.taken_offsets == {0: 0, 1: 1}
    assert again.task_offsets == {0: 0}


def test_a_newer_version_on_the_topic_is_live_and_the_candidate() -> None:
    """Killed between publishing and the next checkpoint: it learns on from what was published.

    The optimizers, the buffer and the drift stay; tasks are read from where that version was.
    """
    one = begun()
    run(one, range(20))
    kept = one.snapshot()
    newer = run(one, range(20, 60))[-1]
    assert newer.version > kept.progress.version
    again = Learner(SETTINGS, newer, newest=newer.version, checkpoint=kept)
    assert again.version == newer.version
    assert again.taken_offsets == again.task_offsets == newer.task_offsets
    after = again.snapshot()
    rows = [after.progress.items.index(item) for item in newer.items]
    for kind in ("anchor", "candidate", "average", "parent"):
        for name, array in newer.parameters.items():
            found = after.arrays.get(f"{kind}/{name}")
            if found is not None:
                same = found[rows] if len(found) == len(after.progress.items) else found
                np.testing.assert_array_equal(same, array, f"{kind}/{name}")
    for name in ("adam/theta/exp_avg", "adagrad/value", "buffer/window", "drift"):
        np.testing.assert_array_equal(after.arrays[name], kept.arrays[name])
    assert not len(after.arrays["gate"])
    assert not after.progress.since_anchor.events
    assert not after.progress.waiting
    assert run(again, range(60, 90))[0].version == newer.version + 1


def test_a_live_version_that_was_never_committed_is_not_live() -> None:
    """The topic has an older one: that is live, and the candidate has to beat it to be published.

    The number that was given to the lost version is not given again.
    """
    one = begun()
    public = run(one, range(25))[-1]
    lost = run(one, range(25, 60))[-1]
    kept = one.snapshot()
    again = Learner(SETTINGS, public, newest=public.version, checkpoint=kept)
    assert again.version == public.version
    after = again.snapshot()
    rows = [after.progress.items.index(item) for item in public.items]
    np.testing.assert_array_equal(after.arrays["anchor/value"][rows], public.parameters["value"])
    np.testing.assert_array_equal(
        after.arrays["anchor/value"][after.progress.items.index("item-3-2")],
        hashed_value("item-3-2", 8),
    )
    for name in (
        "candidate/value",
        "candidate/theta",
        "average/theta",
        "uses/value",
        "adam/theta/exp_avg",
        "buffer/window",
    ):
        np.testing.assert_array_equal(after.arrays[name], kept.arrays[name])
    assert again.taken_offsets == one.taken_offsets
    assert after.progress.waiting == kept.progress.waiting
    assert not len(after.arrays["gate"])
    versions = run(again, range(60, 75))
    assert (versions[0].version, versions[0].parent) == (lost.version + 1, public.version)


def test_another_version_of_the_same_number_is_the_topics() -> None:
    """The number says nothing where it was given twice: when it was made does."""
    one = begun()
    published = run(one, range(30))[-1]
    kept = one.snapshot()
    other = dataclasses.replace(published, created_ms=published.created_ms + 1)
    again = reconciled(kept, other, other.version)
    assert "candidate/value" not in again.arrays
    same = reconciled(kept, published, published.version)
    assert same.arrays is kept.arrays


def test_items_of_a_version_from_elsewhere_get_rows() -> None:
    """A newer version that another learner made: its unknown items come after the known ones."""
    one = begun()
    run(one, range(20))
    start = built_in_version(SETTINGS)
    tables = {name: start.parameters[name] for name in TABLES}
    filled = {name: np.ones((2, *table.shape[1:]), np.float32) for name, table in tables.items()}
    foreign = MetaVersion(
        99, 98, start.adapter, ["new", "item-3-0"], {**start.parameters, **filled}, created_ms=5
    )
    again = Learner(SETTINGS, foreign, checkpoint=one.snapshot())
    after = again.snapshot()
    assert after.progress.items[-1] == "new"
    assert after.arrays["candidate/bias"][-1] == 1
    assert after.arrays["candidate/bias"][after.progress.items.index("item-3-0")] == 1
    assert after.arrays["candidate/bias"].sum() == 2
    again.take(planted_block(3, n=64), 1)
    assert len(again.replica.arrays()["adagrad/bias"]) == len(after.progress.items) + len(ITEMS)
