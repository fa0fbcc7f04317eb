"""New items start from their content and new users from their profile, as far as it was learned."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from metarec_stream.config import Settings
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.task_codec import decode_task_block
from metarec_stream.learner.learner import Learner
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.learner.start import built_in_version
from metarec_stream.memory.log import MemoryRecord
from metarec_stream.pipeline.recommender import Recommender
from metarec_stream.pipeline.results import Observations
from tests.learner.planted import quick_learning
from tests.stream import recommender, record

KINDS = ("red", "green", "blue", "grey")
START = 1_700_000_000_000
BATCHES, BATCH = 60, 40
SETTINGS = Settings.model_validate(
    {
        **quick_learning(),
        "learn": LearnSettings(
            block=40, buffer=512, table_rate=0.1, weights_rate=5e-3, device="cpu",
            strongest=8, random=16, sample_per_batch=100_000,
        ),
        "emit": "per_event",
    }
)  # fmt: skip


class Shop:
    """A shop whose items and users come and go: who likes a kind buys new items of that kind."""

    def __init__(self, told: bool) -> None:
        self.told = told
        self.engine: Recommender = recommender(SETTINGS)
        self.learner = Learner(SETTINGS, built_in_version(SETTINGS))
        self.version: MetaVersion = built_in_version(SETTINGS)
        self._random = np.random.default_rng(5)
        self._offset = 0
        self.items = 0

    def announce(self, kind: int) -> str:
        """A new item of a kind."""
        self.items += 1
        item = f"item-{self.items}"
        content = {"item": item, "categories": [KINDS[kind]] if self.told else []}
        value = json.dumps(content).encode()
        self.engine.apply_items([MemoryRecord("items", 0, 0, 0, item.encode(), value)])
        return item

    def enrol(self, user: str, kind: int) -> None:
        """A new user who likes a kind."""
        attributes = {"favourite": KINDS[kind]} if self.told else {}
        value = json.dumps({"user": user, "attributes": attributes}).encode()
        self.engine.apply_profiles([MemoryRecord("users", 0, 0, 0, user.encode(), value)])

    def visit(self, events: list[tuple[str, str]]) -> Observations:
        """Events (user, item) in one batch, and what the learner makes of them."""
        records = []
        for user, item in events:
            self._offset += 1
            event = Interaction(user=user, item=item, ts=START + 60_000 * self._offset)
            records.append(record(event, self._offset))
        result = self.engine.process(records)
        for output in result.outputs:
            if output.topic == SETTINGS.topics.tasks:
                self.learner.take(decode_task_block(output.value))
        version = self.learner.decide(0)
        if version is not None:
            self.version = version
            self.engine.swap(self.engine.prepare(version))
        return result.observations

    def batches(self) -> Iterator[Observations]:
        """A few fresh items of each kind in each batch; half of the visitors are new."""
        for number in range(BATCHES):
            fresh = [[self.announce(kind) for _ in range(3)] for kind in range(len(KINDS))]
            events = []
            for visit in range(BATCH):
                kind = int(self._random.integers(len(KINDS)))
                new = self._random.random() < 0.5
                user = f"new-{number}-{visit}" if new else f"old-{kind}-{visit % 4}"
                if new:
                    self.enrol(user, kind)
                events.append((user, fresh[kind][int(self._random.integers(3))]))
            yield self.visit(events)
            for items in fresh:
                for item in items:
                    gone = MemoryRecord("items", 0, 0, 0, item.encode(), None)
                    self.engine.apply_items([gone])


def share_of_better(seen: Observations, which: NDArray[np.bool_]) -> float:
    """The mean share of the candidates that ranked above the item that came."""
    above = seen.greater + (seen.equal - 1) / 2
    return float((above / (seen.candidates - 1))[which].mean())


def lived(told: bool) -> tuple[Shop, float, float]:
    """A shop after its stream, and how fresh items ranked for old and for new users at its end."""
    shop = Shop(told)
    late = list(shop.batches())[BATCHES // 2 :]
    old = [share_of_better(seen, seen.earlier > 0) for seen in late]
    new = [share_of_better(seen, seen.earlier == 0) for seen in late]
    return shop, float(np.mean(old)), float(np.mean(new))


@pytest.fixture(scope="module")
def shops() -> dict[bool, tuple[Shop, float, float]]:
    """One that is told of contents and profiles, and one that is not."""
    return {told: lived(told) for told in (True, False)}


def test_with_content_fresh_items_find_their_users(
    shops: dict[bool, tuple[Shop, float, float]],
) -> None:
    """Of the candidates, all of which came a moment ago, far fewer rank above the right one."""
    _, told_old, told_new = shops[True]
    _, old, new = shops[False]
    assert told_old < 0.6 * old
    assert told_new < 0.6 * new


def test_an_unknown_item_like_those_liked_is_above_the_others(
    shops: dict[bool, tuple[Shop, float, float]],
) -> None:
    """After learning, for a user of each kind, an item that no version knows is told by content."""
    shop, _, _ = shops[True]
    for kind in range(len(KINDS)):
        fresh = [shop.announce(other) for other in range(len(KINDS))]
        assert not set(fresh) & set(shop.version.items)
        seen = [shop.visit([(f"old-{kind}-0", item)]) for item in (fresh[kind], fresh[kind - 1])]
        assert seen[0].greater[0] == 0
        assert seen[1].greater[0] >= 1


def test_without_content_nothing_is_learned_of_any() -> None:
    """Versions and tasks hold no tokens, and their tables stay empty."""
    shop = Shop(told=False)
    for _, seen in zip(range(8), shop.batches(), strict=False):
        assert len(seen)
    arrays = shop.learner.replica.candidate.arrays()
    assert [len(arrays[name]) for name in ("content_value", "profile_start")] == [0, 0]
    assert "content/tokens" not in shop.learner.replica.arrays()


def test_a_checkpoint_remembers_contents(shops: dict[bool, tuple[Shop, float, float]]) -> None:
    """A learner that goes on from one moves as the learner would have that never stopped."""
    shop, _, _ = shops[True]
    kept = shop.learner.snapshot()
    again = Learner(SETTINGS, shop.version, checkpoint=kept)
    assert "content/tokens" in kept.arrays
    assert again.snapshot().arrays.keys() == kept.arrays.keys()
    for name, array in again.snapshot().arrays.items():
        np.testing.assert_array_equal(array, kept.arrays[name], err_msg=name)
