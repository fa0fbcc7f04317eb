"""The learner without Kafka: what can be learned is published, noise and broken numbers are not."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from prometheus_client import CollectorRegistry

from metarec_stream.adapters.value_sum.parameters import hashed_value
from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.errors import Degraded, Fatal
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.start import built_in_version
from metarec_stream.learner.tables import RowsInUse
from metarec_stream.metrics import LearnerMetrics
from tests.learner.planted import ITEMS, planted_block, quick_settings


def learner(settings: Settings, registry: CollectorRegistry | None = None) -> Learner:
    """A learner that starts from version 0."""
    metrics = LearnerMetrics(registry or CollectorRegistry())
    return Learner(settings, built_in_version(settings), metrics)


def published(
    one: Learner, blocks: int, shuffled: bool = False, seed: int = 0
) -> list[MetaVersion]:
    """What is published when it takes blocks, deciding after each."""
    versions = []
    for number in range(blocks):
        one.take(planted_block(1_000 * seed + number, shuffled=shuffled), number + 1)
        versions.append(one.decide(now_ms=number))
    return [version for version in versions if version is not None]


def test_planted_outcomes_are_learned_and_published() -> None:
    """The gate lets versions through, numbered on, each naming its parent, at falling loss."""
    registry = CollectorRegistry()
    versions = published(learner(quick_settings(), registry), 40)
    assert len(versions) >= 2
    assert [version.version for version in versions] == list(range(1, len(versions) + 1))
    assert [version.parent for version in versions] == list(range(len(versions)))
    assert versions[-1].metrics["loss"] < 0.7 * math.log(len(ITEMS))
    assert versions[0].metrics["margin"] > 2 * versions[0].metrics["standard_error"] > 0
    for version in versions:
        assert version.parameters["embedding"].shape == (len(ITEMS), 8)
        assert version.items == ITEMS
    count = registry.get_sample_value("metarec_gate_decisions_total", {"decision": "published"})
    assert count == len(versions)


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_outcomes_publish_nothing(seed: int) -> None:
    """Nothing can be learned from a lot: the gate holds every candidate back."""
    registry = CollectorRegistry()
    assert published(learner(quick_settings(), registry), 25, shuffled=True, seed=seed) == []
    assert registry.get_sample_value("metarec_gate_decisions_total", {"decision": "held"}) == 23


def test_a_published_version_does_not_move_with_the_candidate() -> None:
    """Learning goes on in a copy: what was handed out stays as it was."""
    one = learner(quick_settings())
    (first, *_) = published(one, 40)
    before = {name: array.copy() for name, array in first.parameters.items()}
    published(one, 5, seed=1)
    for name, array in first.parameters.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_candidate_that_is_no_number_is_rolled_back() -> None:
    """Weights that overflow are not published; learning begins again from the live version."""
    registry = CollectorRegistry()
    one = learner(quick_settings(), registry)
    one.take(planted_block(0))
    one.replica.candidate.small["start"].data.fill_(math.nan)
    one.take(planted_block(1))
    refused = registry.get_sample_value("metarec_gate_decisions_total", {"decision": "refused"})
    assert refused == 1
    assert not bool(torch.isnan(one.replica.candidate.small["start"]).any())
    versions = published(one, 40)
    assert versions
    assert all(np.isfinite(array).all() for v in versions for array in v.parameters.values())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_block_with_numbers_not_finite_is_refused_whole(value: float) -> None:
    """It raises, and neither its events nor its items are kept."""
    one = learner(quick_settings())
    broken = dataclasses.replace(planted_block(0), items=[f"{item}-x" for item in ITEMS])
    broken.features[3, 4, 5] = value
    with pytest.raises(Degraded, match="not finite"):
        one.take(broken)
    versions = published(one, 40)
    assert versions[0].items == ITEMS


def test_a_block_of_another_release_is_refused() -> None:
    """Features or situation of another width than theta are Degraded."""
    block = planted_block(0)
    other = dataclasses.replace(block, features=block.features[:, :, :-1])
    with pytest.raises(Degraded, match="same release"):
        learner(quick_settings()).take(other)


def test_blocks_of_any_size_are_learned_in_steps_of_one_size() -> None:
    """The same events in other blocks give the same version to the last bit."""
    whole, pieces = learner(quick_settings()), learner(quick_settings())
    for number in range(12):
        block = planted_block(number)
        whole.take(block)
        for start, end in ((0, 10), (10, 64)):
            arrays = {
                field.name: getattr(block, field.name)[start:end]
                for field in dataclasses.fields(block)
                if isinstance(getattr(block, field.name), np.ndarray)
                and field.name != "item_tokens"
            }
            pieces.take(dataclasses.replace(block, **arrays))
    one, other = whole.decide(0), pieces.decide(0)
    assert one is not None
    assert other is not None
    for name, array in one.parameters.items():
        np.testing.assert_array_equal(array, other.parameters[name])


def test_offsets_move_on_once_a_block_is_learned() -> None:
    """What waits for a full step is read again after a restart; a flush learns it."""
    one = learner(quick_settings())
    one.take(planted_block(0, n=40, partition=0), 5)
    assert one.task_offsets == {}
    one.take(planted_block(1, n=40, partition=1), 9)
    assert one.task_offsets == {0: 5}
    one.flush()
    assert one.task_offsets == {0: 5, 1: 9}


def test_a_new_item_starts_at_its_hash_in_both_sets() -> None:
    """Live, candidate and average know it at V = its id's hash, E = 0, b = 0."""
    one = learner(quick_settings())
    one.take(planted_block(0, n=10))
    for weights in (one.replica.anchor, one.replica.candidate, one.replica.average):
        row = weights.tables["value"][3].numpy()
        np.testing.assert_array_equal(row, hashed_value("item-3", 8))
        assert not weights.tables["embedding"][:12].any()


def test_only_rows_in_use_move() -> None:
    """A step changes the rows of its own items, and no other item's."""
    settings = quick_settings()
    start = built_in_version(settings)
    many = [*(f"other-{number}" for number in range(50)), *ITEMS]
    random = np.random.default_rng(0)
    tables = {
        "value": random.standard_normal((62, 8), np.float32),
        "embedding": random.standard_normal((62, 8), np.float32),
        "bias": random.standard_normal(62, np.float32),
        "prior": random.standard_normal(62, np.float32),
    }
    live = dataclasses.replace(start, items=many, parameters={**start.parameters, **tables})
    one = Learner(settings, live)
    one.take(planted_block(0))
    for name, array in tables.items():
        moved = one.replica.candidate.tables[name].numpy() != array
        assert not moved[:50].any()
        assert moved[50:].reshape(12, -1).any(1).all()


def test_a_restart_goes_on_from_the_published_version() -> None:
    """A learner on a published version scores as the candidate did, and numbers on from newest."""
    settings = quick_settings()
    version = published(learner(settings), 40)[-1]
    again = Learner(settings, version, newest=version.version + 2)
    versions = published(again, 40, seed=2)
    assert again.task_offsets == {0: 40}
    if versions:
        assert versions[0].parent == version.version
        assert versions[0].version == version.version + 3
    assert again._loss < 0.75 * math.log(len(ITEMS))


def test_a_version_of_other_dimensions_is_fatal() -> None:
    """It names the setting to change; so does one of another adapter."""
    settings = quick_settings()
    narrow = built_in_version(Settings())
    with pytest.raises(Fatal, match="METAREC_VALUE_SUM__DIMENSIONS"):
        Learner(settings, narrow)
    foreign = dataclasses.replace(built_in_version(settings), adapter="maml")
    with pytest.raises(Fatal, match="METAREC_TOPICS__META"):
        Learner(settings, foreign)


def test_clip_l2_and_proximal_hold_the_small_parameters_back() -> None:
    """A strong pull to the parent keeps them near it; strong decay shrinks what is in use."""
    free, held = learner(quick_settings()), learner(quick_settings(proximal=1e3))
    decayed = learner(quick_settings(l2=1.0))
    start = built_in_version(quick_settings()).parameters["mixing"]
    for one in (free, held, decayed):
        for number in range(10):
            one.take(planted_block(number))
    far = [
        float(np.abs(one.replica.candidate.arrays()["mixing"] - start).sum())
        for one in (free, held)
    ]
    assert far[1] < 0.5 * far[0]
    sizes = [
        float(np.abs(one.replica.candidate.arrays()["value"]).sum()) for one in (free, decayed)
    ]
    assert sizes[1] < 0.8 * sizes[0]


def test_distinct_rows_are_found_without_the_catalogue() -> None:
    """Each number's place leads back to it, padding stays, whatever was asked before."""
    rows = RowsInUse()
    random = np.random.default_rng(0)
    for size in (3, 50, 7, 1_000):
        numbers = random.integers(-1, size, (6, 9), dtype=np.int32)
        distinct, places = rows.distinct(numbers, size)
        assert sorted(distinct.tolist()) == sorted(set(numbers[numbers >= 0].tolist()))
        np.testing.assert_array_equal(np.where(places >= 0, distinct[places], -1), numbers)
    distinct, places = rows.distinct(np.full((2, 2), -1, np.int32), 5)
    assert distinct.tolist() == [0]
    assert (places == -1).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: torch sees no CUDA device")
def test_a_gpu_learns_the_same() -> None:
    """On a GPU the planted problem is learned to about the same loss as on the CPU."""
    cpu = published(learner(quick_settings()), 40)
    gpu = published(learner(quick_settings(device="cuda")), 40)
    assert gpu[-1].metrics["loss"] == pytest.approx(cpu[-1].metrics["loss"], rel=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a CUDA device")
def test_a_gpu_that_is_not_there_is_fatal() -> None:
    """learn.device = cuda without one names the setting."""
    with pytest.raises(Fatal, match="METAREC_LEARN__DEVICE"):
        learner(quick_settings(device="cuda"))
