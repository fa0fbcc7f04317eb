"""A drift makes the learner take more steps on the newest blocks, and publish at once."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.learner.events import events_of
from metarec_stream.learner.gate import Gate
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.settings import GateSettings
from metarec_stream.learner.snapshot import Snapshot
from metarec_stream.learner.start import built_in_version
from metarec_stream.metrics import LearnerMetrics
from tests.learner.planted import ITEMS, planted_block, quick_learning, quick_settings

BEFORE, AFTER = 32, 14
RECOVERING = 8
"""Blocks after a drift was found: later, a learner that does not react has recovered as well."""


def gate() -> Gate:
    """A gate over the newest 200 events, deciding from 50 on."""
    return Gate(GateSettings(window=200, minimum=50, confidence=2.0))


def learner(**changes: object) -> Learner:
    """A learner that starts from version 0, with an anchor that stands for a while."""
    gate = GateSettings(window=2_048, minimum=128)
    settings = Settings.model_validate({**quick_learning(**changes), "gate": gate})
    metrics = LearnerMetrics(CollectorRegistry())
    return Learner(settings, built_in_version(settings), metrics)


def after_the_change(seed: int, on_drift: str) -> tuple[list[float], list[int]]:
    """Live loss after each block of another rule, and after which blocks the learner reacts."""
    one = learner(on_drift=on_drift)
    live: MetaVersion | None = None
    losses, reacting = [], []
    for number in range(BEFORE + AFTER):
        shift = 1 if number < BEFORE else 5
        one.take(planted_block(1_000 * seed + number, shift=shift), number + 1)
        live = one.decide(number) or live
        if number < BEFORE:
            assert not one.reacting
            continue
        assert live is not None
        losses.append(loss_of(live))
        if one.reacting:
            reacting.append(number - BEFORE)
    return losses, reacting


def loss_of(version: MetaVersion) -> float:
    """Of a version under the new rule, on events that nobody learns from."""
    judge = Learner(quick_settings(), version)
    block = planted_block(999_999, n=256, shift=5)
    events = events_of(block, np.arange(len(ITEMS), dtype=np.int32))
    return float(judge.replica.judge(events).anchor.mean())


def test_recovery_from_a_planted_change_is_faster_with_the_reaction() -> None:
    """Every live version of the recovery is better than without, by 0.1 in the mean.

    The mean is over three seeds; of each, one version at least is better by as much, and what came
    after the recovery does not take it back.
    """
    means = []
    for seed in range(3):
        reacted, when = after_the_change(seed, "react")
        noted, never = after_the_change(seed, "note")
        assert never == []
        first = when[0]
        assert first < 8
        assert reacted[:first] == noted[:first]
        since = np.array(noted[first + 1 :]) - np.array(reacted[first + 1 :])
        assert since.mean() > 0.05
        gained = since[:RECOVERING]
        assert (gained > 0).all()
        assert gained.max() > 0.1
        means.append(gained.mean())
    assert np.mean(means) > 0.1


def test_after_a_drift_the_first_candidate_ahead_is_published() -> None:
    """Only the newest differences count, and their margin needs no certainty."""
    one = gate()
    one.add(np.full(150, -1.0))
    one.add(np.tile([9.0, -8.0], 25))
    one.after_drift()
    verdict = one.verdict()
    assert verdict is not None
    assert (verdict.events, verdict.margin, verdict.outcome) == (50, 0.5, "published")
    assert verdict.margin < 2 * verdict.standard_error


def test_a_drift_lends_no_trust_to_what_is_behind_or_untested() -> None:
    """A candidate behind the anchor is held; with too few differences there is no decision."""
    one = gate()
    one.add(np.tile([8.0, -9.0], 30))
    one.after_drift()
    verdict = one.verdict()
    assert verdict is not None
    assert verdict.outcome == "held"
    few = gate()
    few.add(np.full(49, 1.0))
    few.after_drift()
    assert few.verdict() is None


def test_a_reaction_goes_on_after_a_restart_and_ends() -> None:
    """A restored learner is in it for as many blocks as were left, by the same steps."""
    one = learner()
    one.take(planted_block(0), 1)
    kept = one.snapshot()
    kept = Snapshot(replace(kept.progress, drift_blocks=3), kept.arrays)
    registry = CollectorRegistry()
    settings = quick_settings()
    version = built_in_version(settings)
    again = Learner(settings, version, LearnerMetrics(registry), checkpoint=kept)
    assert again.snapshot().progress.drift_blocks == 3
    reacting, steps = [], []
    for number in range(1, 5):
        reacting.append(again.reacting)
        again.take(planted_block(number), number + 1)
        steps.append(registry.get_sample_value("metarec_outer_loop_seconds_count"))
    assert reacting == [True, True, True, False]
    assert steps == [4, 8, 10, 12]
