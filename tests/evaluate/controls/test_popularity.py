"""The popularity control against a plain reading of its definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.evaluate.controls.popularity import (
    HALF_LIVES,
    best_half_life,
    popularity,
    rank_by_counts,
)
from metarec_stream.evaluate.metrics import ranks
from metarec_stream.evaluate.protocol import Protocol
from tests.evaluate.controls.plain import Events, assert_ranked, popularity_shares, protocols
from tests.evaluate.streams import some_events, stream_from


@given(some_events, protocols, st.sampled_from([2.5, 50.0]))
def test_ranks_are_those_of_decayed_counts(
    events: Events, protocol: Protocol, half_life: float
) -> None:
    """Greater, equal and candidate of every outcome, under every protocol."""
    stream = stream_from([(user, item) for user, item, _ in events], [kind for *_, kind in events])
    ranked = rank_by_counts(stream, protocol, half_life, 0, slice(0, len(stream)))
    assert_ranked(ranked, stream, protocol, lambda row: popularity_shares(stream, row, half_life))


@given(some_events, protocols)
def test_only_the_protocols_rows_are_ranked(events: Events, protocol: Protocol) -> None:
    """The rows of the result are those that the protocol scores."""
    stream = stream_from([(user, item) for user, item, _ in events], [kind for *_, kind in events])
    assert popularity(stream, protocol, 0).rows.tolist() == stream.scored(protocol).tolist()


def test_the_half_life_is_chosen_before_the_scored_part() -> None:
    """The best on the part before wins although another is better on the whole."""
    lasting = np.random.default_rng(0).geometric(0.1, 400)
    classics = [(f"u{row}", f"c{item}") for row, item in enumerate(lasting)]
    fashions = [(f"u{row}", f"i{row // 40}") for row in range(4_000)]
    stream = stream_from(classics + fashions)
    protocol = Protocol(score_from=400 / 4_400)

    def mrr(half_life: float, rows: int) -> float:
        ranked = rank_by_counts(stream, protocol, half_life, 0, slice(0, rows))
        return float(np.mean(1 / ranks(ranked, "mid")))

    before = max(HALF_LIVES, key=lambda each: mrr(each, 400))
    assert before > max(HALF_LIVES, key=lambda each: mrr(each, 4_400))
    assert best_half_life(stream, protocol, 0) == before


def test_lists_hold_the_most_counted_that_the_user_has_not_had() -> None:
    """Best first, of equals the one seen first, without the user's own where that is masked."""
    counted = [("a", "x"), ("b", "y"), ("c", "y"), ("d", "z"), ("e", "w")]
    stream = stream_from([*counted, ("b", "w")])
    part = slice(5, 6)
    shown = rank_by_counts(stream, Protocol(), 50, 0, part, list_length=3)
    names = [stream.item_ids[item] for item in shown.lists[0]]
    assert names == ["y", "w", "z"]
    masked = rank_by_counts(stream, Protocol(repeats="mask"), 50, 0, part, list_length=4)
    names = [stream.item_ids[item] for item in masked.lists[0, :3]]
    assert names == ["w", "z", "x"]
    assert masked.lists[0, 3] == -1


def test_of_equal_counts_the_item_seen_first_comes_first() -> None:
    """Also where the equals are more than the list takes."""
    pairs = [("a", item) for item in ("x", "y", "z", "w")] + [("b", "z")]
    stream = stream_from(pairs, ["view", "skip", "skip", "skip", "view"])
    shown = rank_by_counts(stream, Protocol(), 50, 0, slice(4, 5), list_length=3)
    assert [stream.item_ids[item] for item in shown.lists[0]] == ["x", "y", "z"]


def test_negatives_are_drawn_once_and_not_from_what_is_masked() -> None:
    """Of five items one counts more than the target: it is drawn at most once, or never."""
    counted = [("a", "g"), ("b", "x"), ("b", "y"), ("b", "z"), ("b", "t")]
    pairs = [*counted, *[(f"u{row}", "t") for row in range(50)]]
    stream = stream_from(pairs, ["click", *["skip"] * 4, *["click"] * 50])
    only_one = stream_from([*counted, ("a", "t")], ["click", *["skip"] * 4, "click"])
    for seed in range(50):
        drawn = rank_by_counts(stream, Protocol(negatives=3), 50, seed, slice(5, 6))
        assert drawn.greater[0] <= 1
        assert drawn.greater[0] + drawn.equal[0] == 4
        masked = Protocol(negatives=2, repeats="mask")
        assert rank_by_counts(only_one, masked, 50, seed, slice(5, 6)).greater[0] == 0


def test_counts_survive_their_rescaling() -> None:
    """A half-life of a hundredth of an event forces many rescalings, and the order stays."""
    stream = stream_from([("a", f"i{row % 7}") for row in range(400)])
    ranked = rank_by_counts(stream, Protocol(), 0.01, 0, slice(7, 400))
    assert ranked.greater.tolist() == [6] * 393


def test_negatives_are_distinct_candidates_and_repeat_with_the_seed() -> None:
    """As many as asked, ranked as in a sample: on average the full rank's share of them."""
    pairs = [("a", f"i{row}") for row in range(100)]
    pairs += [("b", f"i{row}") for row in range(100) for _ in range(row)]
    stream = stream_from(pairs)
    part = slice(len(pairs) - 60, len(pairs))
    protocol = Protocol(negatives=10)
    drawn = rank_by_counts(stream, protocol, 50_000, 3, part)
    again = rank_by_counts(stream, protocol, 50_000, 3, part)
    other = rank_by_counts(stream, protocol, 50_000, 4, part)
    assert drawn.greater.tolist() == again.greater.tolist() != other.greater.tolist()
    assert (drawn.greater + drawn.equal).max() <= 11
    full = rank_by_counts(stream, replace(protocol, negatives=0), 50_000, 3, part)
    expected = full.greater.mean() * 10 / 99
    assert abs(drawn.greater.mean() - expected) < 0.5


def test_more_negatives_than_candidates_are_all_candidates() -> None:
    """Then the rank is that among all."""
    stream = stream_from([("a", f"i{row % 5}") for row in range(30)])
    part = slice(10, 30)
    sampled = rank_by_counts(stream, Protocol(negatives=4), 50, 0, part)
    full = rank_by_counts(stream, Protocol(), 50, 0, part)
    assert sampled.greater.tolist() == full.greater.tolist()
    assert sampled.equal.tolist() == full.equal.tolist()
