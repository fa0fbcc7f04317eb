"""What is known of items and users before they come: contents, profiles, and what they move."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from metarec_stream.adapters.value_sum.parameters import TOKEN_TABLES
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.hashing import hash64
from metarec_stream.memory.log import MemoryRecord
from tests.pipeline.test_recommender import SETTINGS, UNSAMPLED, click, learned_version, tasks_of
from tests.stream import lists_of, random_interactions, recommender, records


def told(key: str, topic: str, at: int = 0, **fields: object) -> MemoryRecord:
    """A record of the items or the users topic."""
    name = topic.removesuffix("s")
    value = msgspec.json.encode({name: key, **fields})
    return MemoryRecord(topic, 0, at, 0, key.encode(), value)


def content_version(number: int, items: list[str], seed: int) -> MetaVersion:
    """A version with random tables and something learned of every token."""
    version = learned_version(number, items, seed)
    draw = np.random.default_rng(seed)
    shapes = {name: version.parameters[name].shape[1:] for name in TOKEN_TABLES}
    tables = {
        name: draw.normal(size=(4096, *shape)).astype(np.float32) for name, shape in shapes.items()
    }
    return MetaVersion(number, number - 1, version.adapter, items, {**version.parameters, **tables})


CONTENT = [
    told(f"i{number}", "items", categories=[f"c{number % 4}"], title=f"word {number % 3}")
    for number in range(30)
]
PROFILES = [told(f"u{number}", "users", attributes={"age": 10 * number}) for number in range(4)]


@pytest.mark.parametrize("when", ["before", "before the swap", "after it"])
def test_lists_do_not_depend_on_when_content_was_told(when: str) -> None:
    """Before the first event, between a version's preparation and its swap, or later: all alike."""
    stream = records(random_interactions(300, seed=1))
    engine = recommender(UNSAMPLED)
    version = content_version(3, [f"i{number}" for number in range(15)], seed=2)
    if when == "before":
        engine.apply_items(CONTENT)
    engine.process(stream[:150])
    prepared = engine.prepare(version)
    if when == "before the swap":
        engine.apply_items(CONTENT)
    engine.swap(prepared)
    engine.process(stream[150:250])
    if when == "after it":
        engine.apply_items(CONTENT)
    numbers = [engine.items.index(f"i{number}") for number in range(30)]
    slow = engine._live.slow
    reference = recommender(UNSAMPLED)
    reference.apply_items(CONTENT)
    reference.swap(reference.prepare(version))
    expected = reference._live.slow
    order = [reference.items.index(f"i{number}") for number in range(30)]
    np.testing.assert_array_equal(slow.value[numbers], expected.value[order])
    np.testing.assert_array_equal(slow.embedding[:, numbers], expected.embedding[:, order])
    np.testing.assert_array_equal(slow.bias[numbers], expected.bias[order])
    plain = recommender(UNSAMPLED)
    plain.announce([f"i{number}" for number in range(30)])
    plain.swap(plain.prepare(version))
    assert (plain._live.slow.bias[:30] != expected.bias[order]).all()


def test_fast_weights_follow_changed_content() -> None:
    """Told of it late, a process answers as one that was told at once."""
    stream = records(random_interactions(200, seed=4))
    version = content_version(3, [f"i{number}" for number in range(15)], seed=2)

    def run(late: bool) -> tuple[list[str], list[float]]:
        engine = recommender(UNSAMPLED)
        engine.announce([f"i{number}" for number in range(30)])
        engine.swap(engine.prepare(version))
        if not late:
            engine.apply_items(CONTENT)
        engine.process(stream[:150])
        if late:
            engine.apply_items(CONTENT)
        answers = lists_of(engine.process(stream[150:]).outputs, SETTINGS)
        entries = [entry for answer in answers for entry in answer.items]
        return [entry.item for entry in entries], [entry.score for entry in entries]

    late_items, late_scores = run(late=True)
    items, scores = run(late=False)
    assert late_items == items
    assert late_scores == pytest.approx(scores, abs=1e-3)


def test_tasks_carry_the_tokens_that_were_known() -> None:
    """Of each item and each user; none where nothing is known."""
    stream = records(random_interactions(60, seed=5))
    plain = tasks_of(recommender(SETTINGS).process(stream).outputs)[0]
    assert plain.item_tokens.shape[1] == plain.profile_tokens.shape[1] == 0
    engine = recommender(SETTINGS)
    engine.apply_items(CONTENT[:10])
    engine.apply_profiles(PROFILES)
    block = tasks_of(engine.process(stream).outputs)[0]
    for item, tokens in zip(block.items, block.item_tokens, strict=True):
        assert (tokens >= 0).any() == (int(item[1:]) < 10)
    known = {hash64(f"u{number}") for number in range(4)}
    for user, tokens in zip(block.users.tolist(), block.profile_tokens, strict=True):
        assert (tokens >= 0).any() == (user in known)


def test_a_profile_moves_the_first_list_and_can_be_forgotten() -> None:
    """A new user's start is that of the attributes, until a null value deletes them."""
    version = content_version(3, [f"i{number}" for number in range(15)], seed=2)
    profile = told("new", "users", attributes={"country": "AT"})
    forgotten = MemoryRecord("users", 0, 1, 0, b"new", None)

    def scores(*profiles: MemoryRecord) -> dict[str, float]:
        engine = recommender(UNSAMPLED)
        engine.announce(version.items)
        engine.swap(engine.prepare(version))
        engine.apply_profiles(profiles)
        event = records([click("new", "i0", kind="impression")])
        (answer,) = lists_of(engine.process(event).outputs, SETTINGS)
        return {entry.item: entry.score for entry in answer.items}

    assert scores(profile) != scores()
    assert scores(profile, forgotten) == scores()


def test_a_bad_profile_is_counted_and_changes_nothing() -> None:
    """Another user's key, no number, no map: the stream of profiles goes on."""
    engine = recommender(SETTINGS)
    bad = [
        MemoryRecord("users", 0, 0, 0, b"a", b'{"user": "b", "attributes": {"x": 1}}'),
        MemoryRecord("users", 0, 1, 0, b"a", b'{"user": "a", "attributes": {"x": [1]}}'),
        MemoryRecord("users", 0, 2, 0, b"a", b"\xc1"),
    ]
    engine.apply_profiles([*bad, told("c", "users", attributes={"x": 1})])
    (block,) = tasks_of(
        engine.process(records([click("a", "x"), click("b", "y", 1), click("c", "x", 2),
                                click("a", "y", 3), click("c", "y", 4)])).outputs
    )  # fmt: skip
    told_of = {
        user
        for user, tokens in zip(block.users.tolist(), block.profile_tokens, strict=True)
        if (tokens >= 0).any()
    }
    assert told_of == {hash64("c")}
    count = sum(
        sample.value
        for metric in engine._metrics.rejected_profiles.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )
    assert count == 3
