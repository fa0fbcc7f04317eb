"""Task blocks whose outcomes can be learned: each item leads to the one after it."""

from __future__ import annotations

import numpy as np

from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.config import Settings
from metarec_stream.contract.task import TaskBlock
from metarec_stream.learner.settings import GateSettings, LearnSettings
from metarec_stream.pipeline.features import FEATURES, SITUATION

ITEMS = [f"item-{number}" for number in range(12)]


def quick_learning(**changes: object) -> dict[str, object]:
    """Settings sections for tests: small blocks, few dimensions, quick rates."""
    learn: dict[str, object] = {
        "block": 64,
        "buffer": 1_024,
        "steps": 2,
        "table_rate": 0.05,
        "weights_rate": 5e-3,
        "device": "cpu",
    }
    return {
        "learn": LearnSettings.model_validate({**learn, **changes}),
        "gate": GateSettings(window=512, minimum=128),
        "value_sum": ValueSumSettings(dimensions=8, time_scales=2, window=4),
    }


def quick_settings(**changes: object) -> Settings:
    """Settings with them and nothing else."""
    return Settings.model_validate(quick_learning(**changes))


def planted_block(
    seed: int, n: int = 64, partition: int = 0, shuffled: bool = False, shift: int = 1
) -> TaskBlock:
    """Events over ITEMS, the candidates all of them; shuffled: the outcome is drawn by lot.

    shift: how much further than the last item the outcome is.
    """
    random = np.random.default_rng(seed)
    last = random.integers(0, len(ITEMS), n)
    drawn = random.integers(0, len(ITEMS), n)
    target = (
        drawn if shuffled else np.where(random.random(n) < 0.8, (last + shift) % len(ITEMS), drawn)
    )
    order = np.arange(len(ITEMS))
    candidates = (target[:, None] + order) % len(ITEMS)
    features = np.zeros((n, len(ITEMS), len(FEATURES)), np.float32)
    situation = np.zeros((n, len(SITUATION)), np.float32)
    situation[:, 0] = 1.0
    return TaskBlock(
        partition=partition,
        meta_version=0,
        items=ITEMS,
        offsets=np.arange(n, dtype=np.int64),
        event_times=np.arange(n, dtype=np.int64),
        users=np.ones(n, np.uint64),
        weights=np.ones(n, np.float32),
        candidates=candidates.astype(np.int32),
        reranked=np.ones((n, len(ITEMS)), np.uint8),
        log_q=np.zeros((n, len(ITEMS)), np.float32),
        features=features,
        window=np.stack([last, np.full(n, -1), np.full(n, -1)], 1).astype(np.int32),
        gaps=np.zeros((n, 3), np.float32),
        situation=situation,
        feature_weights=np.zeros((n, 3, len(FEATURES)), np.float32),
        item_tokens=np.zeros((len(ITEMS), 0), np.int16),
        profile_tokens=np.zeros((n, 0), np.int16),
    )
