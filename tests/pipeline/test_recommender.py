"""The recommender: records in, lists, dead letters and tasks out."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from metarec_stream.adapters.value_sum.parameters import version_zero
from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.clock import ManualClock
from metarec_stream.config import Settings
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.task import TaskBlock
from metarec_stream.contract.task_codec import decode_task_block
from metarec_stream.contract.transport import Output
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.memory.log import MemoryRecord
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.features import FEATURES, SITUATION
from metarec_stream.pipeline.recommender import RankProtocol, Recommender
from metarec_stream.pipeline.seen import SeenItems
from metarec_stream.state.settings import StateSettings
from tests.stream import histories_of, lists_of, random_interactions, recommender, record, records

SETTINGS = Settings(
    emit="per_event",
    state=StateSettings(ring=12),
    value_sum=ValueSumSettings(dimensions=8, window=6),
    learn=LearnSettings(strongest=6, random=4, sample_per_batch=100_000),
)
UNSAMPLED = SETTINGS.model_copy(update={"learn": SETTINGS.learn.model_copy(update={"sample": 0.0})})
MINUTE = 60_000
START = 1_700_000_000_000


def click(
    user: str, item: str, minute: int = 0, kind: str = "click", event_id: str | None = None
) -> Interaction:
    """A click, or another kind of event, at a minute of the day."""
    time = START + minute * MINUTE
    return Interaction(user=user, item=item, type=kind, ts=time, event_id=event_id)


def learned_version(number: int, items: list[str], seed: int) -> MetaVersion:
    """A version with random tables, as if learned."""
    draw = np.random.default_rng(seed)
    zero = version_zero(ValueSumSettings(dimensions=8), FEATURES, len(SITUATION))
    vectors, numbers = (len(items), 8), (len(items),)
    shapes = {"value": vectors, "embedding": vectors, "bias": numbers, "prior": numbers}
    shapes["taste"] = (1,)
    tables = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return MetaVersion(number, number - 1, zero.adapter, items, {**zero.parameters, **tables})


def clicks(count: int, seed: int) -> list[Interaction]:
    """Wanted interactions alone: nobody turns anything down, which scores and log_q would tell."""
    made = random_interactions(count, seed)
    return [interaction for interaction in made if interaction.type == "click"]


def tasks_of(outputs: list[Output]) -> list[TaskBlock]:
    """The task blocks among a batch's outputs."""
    return [decode_task_block(o.value) for o in outputs if o.topic == SETTINGS.topics.tasks]


@pytest.mark.parametrize("sizes", [(1,), (7, 64), (1_000,)])
def test_lists_do_not_depend_on_how_records_fell_into_batches(sizes: tuple[int, ...]) -> None:
    """Items and scores are the same bit for bit, with a version swapped in at the same place."""
    stream = records(random_interactions(400, seed=1))
    version = learned_version(3, [f"i{number}" for number in range(15)], seed=2)

    def run(batches: tuple[int, ...]) -> list[object]:
        engine = recommender(SETTINGS)
        made: list[object] = []
        for half in (stream[:200], stream[200:]):
            start, turn = 0, 0
            while start < len(half):
                size = batches[turn % len(batches)]
                outputs = engine.process(half[start : start + size]).outputs
                made.extend(
                    (a.rec_id, a.meta_version, a.items) for a in lists_of(outputs, SETTINGS)
                )
                start, turn = start + size, turn + 1
            engine.swap(engine.prepare(version))
        return made

    assert run(sizes) == run((50,))


def test_replay_leaves_the_same_state_as_processing() -> None:
    """After a silent replay the next list is the one of a process that never stopped.

    That is beside the users' own feature weights, which read the soft state of the moment and
    begin anew: no event is sampled here, so that there are none.
    """
    stream = records(random_interactions(300, seed=3))
    lived, replayed = recommender(UNSAMPLED), recommender(UNSAMPLED)
    lived.process(stream[:250])
    for start in range(0, 250, 33):
        replayed.replay(stream[start : min(start + 33, 250)])
    expected, answer = lived.process(stream[250:]), replayed.process(stream[250:])
    assert lists_of(answer.outputs, SETTINGS) == lists_of(expected.outputs, SETTINGS)


def test_an_unannounced_item_is_recommended_from_its_first_interaction() -> None:
    """Another user gets it; and nobody before it came."""
    engine = recommender(SETTINGS)
    first, second = lists_of(
        engine.process(records([click("a", "old"), click("b", "new", 1)])).outputs, SETTINGS
    )
    assert [entry.item for entry in first.items] == ["old"]
    assert {entry.item for entry in second.items} == {"old", "new"}
    assert second.items[0].item == "new"
    assert second.items[0].why[0] == "repeat"


def test_a_deleted_item_is_not_recommended_until_announced_again() -> None:
    """It stays in the history; a bad record on the items topic changes nothing."""
    engine = recommender(SETTINGS)
    engine.process(records([click("a", "x"), click("a", "y", 1)]))

    def listed(offset: int, minute: int) -> set[str]:
        outputs = engine.process([record(click("a", "y", minute), offset)]).outputs
        return {entry.item for entry in lists_of(outputs, SETTINGS)[0].items}

    engine.apply_items([MemoryRecord("items", 0, 0, 0, b"x", None)])
    engine.apply_items([MemoryRecord("items", 0, 1, 0, b"x", b"\xc1")])
    assert listed(2, 2) == {"y"}
    engine.apply_items([MemoryRecord("items", 0, 2, 0, b"x", b'{"item": "x", "title": "X"}')])
    assert listed(3, 3) == {"x", "y"}


def test_transitions_and_companions_lead_the_list_and_say_why() -> None:
    """After many users went from a to b, a new user at a is offered b, for that reason."""
    engine = recommender(SETTINGS)
    history = [click(f"u{user}", item, user) for user in range(9) for item in ("a", "b")]
    engine.process(records(history))
    outputs = engine.process([record(click("new", "a", 20), 18)]).outputs
    best = {entry.item: entry for entry in lists_of(outputs, SETTINGS)[0].items}
    assert "transition" in best["b"].why
    assert "cooccurrence" in best["b"].why


def test_each_user_of_a_batch_gets_one_list_after_their_last_event() -> None:
    """`per_user`, and its list is the one `per_event` gives at that event."""
    stream = records(random_interactions(60, seed=4))
    per_user = SETTINGS.model_copy(update={"emit": "per_user"})
    answers = lists_of(recommender(per_user).process(stream).outputs, per_user)
    every = lists_of(recommender(SETTINGS).process(stream).outputs, SETTINGS)
    last = {answer.user: answer for answer in every}
    assert len(every) == 60
    assert {answer.user: answer for answer in answers} == last
    assert len(answers) == len(last)


def test_tasks_hold_the_features_that_made_the_scores() -> None:
    """Score by hand from a logged task: the item that came ranks where it was observed to."""
    engine = recommender(SETTINGS)
    stream = records(clicks(200, seed=5))
    engine.process(stream[:150])
    result = engine.process(stream[150:])
    zero = version_zero(ValueSumSettings(dimensions=8), FEATURES, len(SITUATION))
    theta = zero.parameters["theta"]
    blocks = tasks_of(result.outputs)
    scored = 0
    seen = result.observations
    place_of = {int(offset): place for place, offset in enumerate(seen.offset)}
    for block in blocks:
        for event in range(len(block.offsets)):
            known = block.candidates[event] >= 0
            weights = theta @ block.situation[event] + block.feature_weights[event, 0]
            scores = block.features[event, known] @ weights
            place = place_of[int(block.offsets[event])]
            above = int(min(seen.greater[place], SETTINGS.learn.strongest))
            tolerance = 0.02
            assert (scores[1:] > scores[0] - tolerance).sum() >= above
            if seen.greater[place] < SETTINGS.learn.strongest:
                assert (scores[1:] > scores[0] + tolerance).sum() <= seen.greater[place]
            assert len(set(block.candidates[event, known].tolist())) == known.sum()
            scored += 1
    assert scored == result.tasks > 20


def test_random_candidates_are_corrected_for_how_rare_their_draw_was() -> None:
    """log_q is log(rest / draws) for the drawn ones, 0 for the others."""
    engine = recommender(SETTINGS)
    stream = records(clicks(200, seed=6))
    result = engine.process(stream)
    seen = result.observations
    counts = dict(zip(seen.offset.tolist(), seen.candidates.tolist(), strict=True))
    corrected = 0
    for block in tasks_of(result.outputs):
        for event, offset in enumerate(block.offsets.tolist()):
            drawn = block.log_q[event] > 0
            chosen = int((block.candidates[event] >= 0).sum())
            rest = counts[offset] - (chosen - 4)
            if rest > 4:
                np.testing.assert_allclose(block.log_q[event, drawn], np.log(rest / 4), rtol=1e-5)
                assert drawn.sum() == 4
                corrected += 1
    assert corrected > 50


def test_unwanted_events_are_kept_but_teach_nothing() -> None:
    """A skip is neither a task nor a repeat, and moves no popularity."""
    engine = recommender(SETTINGS)
    engine.process(records([click("a", "x"), click("b", "y", 1)]))
    result = engine.process([record(click("a", "y", 2, "skip"), 2)])
    assert len(result.observations) == 0
    assert int(engine.users.rings.accepted[0]) == 2
    assert int(engine.users.rings.wanted[0]) == 1


def test_duplicates_rejects_and_late_events_take_their_ways() -> None:
    """A duplicate is answered by nothing; a reject is a dead letter; offsets cover all of them."""
    engine = recommender(SETTINGS)
    twice = click("a", "x", 0, event_id="e1")
    broken = MemoryRecord("interactions", 0, 2, START, b"a", b"\xc1", (("h", b"1"),))
    result = engine.process([record(twice, 0), record(twice, 1), broken])
    assert result.offsets == {0: 3}
    assert result.recommendations == 1
    letters = [o for o in result.outputs if o.topic == "interactions.dlq"]
    assert [(letter.value, letter.headers[0]) for letter in letters] == [(b"\xc1", ("h", b"1"))]
    assert dict(letters[0].headers)["metarec-reason"] == b"undecodable"


def test_masking_takes_what_the_user_had_out_of_the_candidates() -> None:
    """An event on it is marked, and the list that would have been shown is without it."""
    engine = Recommender(
        SETTINGS, ConsumerMetrics(CollectorRegistry()), ManualClock(0),
        seen=SeenItems(), protocol=RankProtocol(lists=True),
    )  # fmt: skip
    engine.assign(0)
    history = [click("a", "x"), click("b", "y", 1), click("a", "x", 2), click("a", "y", 3)]
    seen = engine.process(records(history)).observations
    assert seen.masked.tolist() == [False, False, True, False]
    assert seen.candidate.tolist() == [False, False, False, True]
    listed = [[engine.items[item] for item in row if item >= 0] for row in seen.lists]
    assert listed == [[], ["x"], ["y"], ["y"]]


def test_a_dropped_partition_is_forgotten_and_others_stay() -> None:
    """Its users start anew, those of another partition go on."""
    engine = recommender(SETTINGS, partitions=(0, 1))
    engine.process([record(click("a", "x"), 0), record(click("b", "x", 1), 0, partition=1)])
    engine.drop(0)
    engine.assign(0)
    assert len(engine.users) == 1
    seen = engine.process(
        [record(click("a", "x", 2), 1), record(click("b", "x", 3), 1, partition=1)]
    ).observations
    assert seen.repeat.tolist() == [False, True]
    assert seen.earlier.tolist() == [0, 1]


def test_a_history_goes_with_its_partition_and_a_row_s_next_user_begins_anew() -> None:
    """What is kept of a single user to find users alike is nobody's after that."""
    engine = recommender(SETTINGS, partitions=(0, 1))
    engine.process([record(click("a", "x"), 0), record(click("b", "y", 1), 0, partition=1)])
    engine.process([record(click("a", "y", 2), 1)])
    assert histories_of(engine) == {"a": ["x", "y"], "b": ["y"]}
    row = engine.users.find(0, "a")
    engine.drop(0)
    engine.assign(0)
    assert histories_of(engine) == {"b": ["y"]}
    engine.process([record(click("c", "z", 3), 2)])
    assert engine.users.find(0, "c") == row
    assert histories_of(engine) == {"b": ["y"], "c": ["z"]}


def test_a_history_that_was_lost_is_taken_up_from_the_ring() -> None:
    """A partition that is taken over again is not counted again; its users' next events are."""
    stream = [record(click("a", item, minute), minute) for minute, item in enumerate("wxyz")]
    engine = recommender(SETTINGS)
    engine.process(stream[:3])
    engine.drop(0)
    engine.assign(0)
    engine.replay(stream[:3])
    assert histories_of(engine) == {}
    engine.process(stream[3:])
    assert histories_of(engine) == {"a": ["w", "x", "y", "z"]}


def test_of_a_restored_partition_the_users_who_came_last_are_recalled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what they wanted; what they turned down, and other partitions, are left out."""
    monkeypatch.setattr("metarec_stream.pipeline.recall.MOST_RECALLED", 2)
    shown = [("a", "x", "click"), ("b", "x", "click"), ("c", "y", "click"), ("b", "z", "dislike")]
    stream = [
        record(click(user, item, minute, kind), minute)
        for minute, (user, item, kind) in enumerate(shown)
    ]
    engine = recommender(SETTINGS, partitions=(0, 1))
    engine.process([*stream, record(click("d", "x"), 0, partition=1)])
    engine.drop(0)
    engine.assign(0)
    engine.drop(1)
    engine.assign(1)
    engine.replay([*stream, record(click("d", "x"), 0, partition=1)])
    engine.recall(0)
    assert histories_of(engine) == {"c": ["y"], "b": ["x"]}


def test_a_version_s_item_that_comes_later_has_its_rows_from_the_start() -> None:
    """Not known here at the swap: at its first interaction it takes the version's bias."""
    version = learned_version(2, ["later"], seed=1)
    version.parameters["embedding"][:] = 0.0
    version.parameters["bias"][:] = 50.0
    engine = recommender(SETTINGS)
    engine.process(records([click("a", "x"), click("b", "y", 1)]))
    engine.swap(engine.prepare(version))
    engine.process([record(click("b", "later", 2), 2)])
    answer = lists_of(engine.process([record(click("a", "x", 3), 3)]).outputs, SETTINGS)[0]
    assert answer.items[0].item == "later"
    assert answer.items[0].score > 40


def test_after_a_swap_users_rank_as_if_the_version_had_always_been_there() -> None:
    """Fast weights made by another version are made anew from the ring at the next touch."""
    stream = records(random_interactions(160, seed=8))
    version = learned_version(4, [f"i{number}" for number in range(23)], seed=9)
    swapped, always = recommender(SETTINGS), recommender(SETTINGS)
    always.swap(always.prepare(version))
    always.replay(stream[:120])
    swapped.replay(stream[:120])
    swapped.swap(swapped.prepare(version))
    expected = lists_of(always.process(stream[120:]).outputs, SETTINGS)
    answers = lists_of(swapped.process(stream[120:]).outputs, SETTINGS)
    for answer, other in zip(answers, expected, strict=True):
        scores = {entry.item: entry.score for entry in answer.items}
        assert scores == pytest.approx({e.item: e.score for e in other.items}, abs=2e-2)


def test_a_partition_taken_over_again_is_not_counted_again() -> None:
    """Given up and replayed: rings are rebuilt, popularity is not doubled, new events count."""
    stream = records(random_interactions(80, seed=12))
    engine, other = recommender(SETTINGS), recommender(SETTINGS)
    engine.process(stream[:60])
    engine.drop(0)
    engine.assign(0)
    for start in range(0, 80, 25):
        engine.replay(stream[start : start + 25])
    other.process(stream)
    popularity, expected = engine._soft.arrays().popularity, other._soft.arrays().popularity
    np.testing.assert_array_equal(popularity.total, expected.total)
    assert popularity.events[0] == expected.events[0]
    assert engine.users.rings.accepted.sum() == other.users.rings.accepted.sum() == 80


def test_tasks_with_long_ids_are_split_to_fit_a_record() -> None:
    """A block over the limit is halved until it fits; no event is lost."""
    small = SETTINGS.model_copy(
        update={"kafka": SETTINGS.kafka.model_copy(update={"max_message_bytes": 65_536})}
    )
    engine = recommender(small)
    longer = [
        msgspec.structs.replace(event, item=event.item + "x" * 240)
        for event in random_interactions(400, seed=13, items=200)
    ]
    result = engine.process(records(longer))
    blocks = [o.value or b"" for o in result.outputs if o.topic == SETTINGS.topics.tasks]
    assert max(map(len, blocks)) < 65_536
    offsets = [offset for block in blocks for offset in decode_task_block(block).offsets.tolist()]
    assert offsets == sorted(offsets)
    assert len(set(offsets)) == result.tasks > 200


def test_an_item_s_record_is_known_by_its_key() -> None:
    """A key that is another id, none, or too long takes no number and deletes nothing."""
    engine = recommender(SETTINGS)
    bad = [(b"k1", b'{"item": "other"}'), (b"", None), (b"x" * 300, None), (None, None)]
    engine.apply_items(
        [MemoryRecord("items", 0, at, 0, key, value) for at, (key, value) in enumerate(bad)]
    )
    assert engine.items == []
