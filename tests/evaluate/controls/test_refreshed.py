"""How a network goes along a stream: exact under every protocol, and blind to what comes."""

from __future__ import annotations

import copy
from functools import partial
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from metarec_stream.contract.interaction import DEFAULT_TYPES
from metarec_stream.evaluate.controls import refreshed
from metarec_stream.evaluate.controls.gru4rec import RecurrentNetwork
from metarec_stream.evaluate.controls.refreshed import (
    SequenceNetwork,
    best_epochs,
    rank_after,
    rank_by_network,
)
from metarec_stream.evaluate.controls.together import run_control
from metarec_stream.evaluate.metrics import RankedEvents, ranks
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream, stream_of
from tests.evaluate.controls.plain import Events, assert_ranked, protocols, wanted
from tests.evaluate.streams import some_events, stream_from, table_of

SMALL = 4


class LatestItem(SequenceNetwork):
    """The state is the vector of the newest place."""

    def __init__(self, items: int) -> None:
        super().__init__(items, SMALL)

    def forward(self, inputs: Tensor) -> Tensor:
        """[W, L] to [W, L, d]."""
        vectors: Tensor = self.vectors(inputs)
        return vectors


def ring(events: int, items: int, seed: int = 0) -> Stream:
    """Users who go round one ring of items from a place of their own."""
    generator = np.random.default_rng(seed)
    places = generator.integers(0, items, 12)
    pairs = [(f"all{item}", f"i{item}") for item in range(items)]
    for _ in range(events):
        user = int(generator.integers(12))
        places[user] = (places[user] + 1) % items
        pairs.append((f"u{user}", f"i{places[user]}"))
    return stream_from(pairs)


@given(some_events, protocols)
def test_ranks_are_those_of_the_networks_scores(events: Events, protocol: Protocol) -> None:
    """Under every protocol, of a stream too short for a refresh: the first weights decide."""
    stream = stream_from([(user, item) for user, item, _ in events], [kind for *_, kind in events])
    torch.manual_seed(3)
    network = LatestItem(len(stream.item_ids))
    vectors = network.vectors.weight.detach().numpy().astype(np.float64)

    def scores(row: int) -> dict[int, float]:
        own = [item for user, item in wanted(stream, row) if user == stream.users[row]]
        newest = own[-1] if own else len(stream.item_ids)
        return dict(enumerate((vectors[:-1] @ vectors[newest]).tolist()))

    ranked = rank_after(lambda _: network, stream, protocol, 0, 5, slice(0, len(stream)))
    assert_ranked(ranked, stream, protocol, scores)


@pytest.mark.parametrize("repeats", ["include", "mask"])
def test_what_comes_later_changes_nothing(repeats: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks up to a row are the same whatever items follow it, and then no longer."""
    monkeypatch.setattr(refreshed, "REFRESH_ROWS", 10)
    monkeypatch.setattr(refreshed, "EPOCHS", (1, 2))
    protocol = Protocol(score_from=0.5, repeats="mask" if repeats == "mask" else "include")
    pairs = [(f"u{row % 40}", f"i{row * row % 23}") for row in range(200)]
    cut = 163
    after = [item for _, item in reversed(pairs[cut + 1 :])]
    tail = [(user, item) for (user, _), item in zip(pairs[cut + 1 :], after, strict=True)]
    other = pairs[: cut + 1] + tail
    first, second = (
        rank_by_network(LatestItem, stream_from(events), protocol, 0) for events in (pairs, other)
    )
    before = int(np.searchsorted(first.rows, cut, side="right"))
    assert before > 20
    assert first.rows[:before].tolist() == second.rows[:before].tolist()
    assert first.greater[:before].tolist() == second.greater[:before].tolist()
    assert first.greater[before:].tolist() != second.greater[before:].tolist()


def test_the_walk_learns_the_past_and_follows_the_stream() -> None:
    """The ring turns round half way: it is learned without an epoch, and learned anew."""
    items = 20
    forth = [(f"forth{place // 400}", f"i{place % items}") for place in range(3_000)]
    back = [(f"back{place // 400}", f"i{-place % items}") for place in range(3_000)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ranked = rank_after(
            RecurrentNetwork, stream_from(forth + back), Protocol(), 0, 0, slice(2_500, 6_000)
        )
    hits = ranks(ranked, "mid") <= 1
    assert hits[:400].mean() > 0.8
    assert hits[500:900].mean() < 0.2
    assert hits[-400:].mean() > 0.8


@pytest.mark.parametrize(("candidates", "competes"), [("seen", False), ("all", True)])
def test_items_that_are_no_candidates_yet_do_not_compete(
    candidates: Literal["seen", "all"], competes: bool
) -> None:
    """The last row's item is unknown to the epochs before it, unless the protocol knows all."""
    stream = stream_from([(f"u{row % 3}", f"i{row % 5}") for row in range(30)] + [("u0", "late")])
    trained = refreshed.Refreshed(LatestItem, stream, Protocol(candidates=candidates), 0)
    trained.study(30, 1)
    assert bool(trained._network.bias[5]) == competes
    assert bool(trained._network.bias[:5].all())


def test_epochs_are_the_best_before_the_scored_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them are tried while they are better, on the last tenth of the rows before."""
    stream, protocol = ring(1_500, 15), Protocol(score_from=0.8)
    end = protocol.first_scored(len(stream))
    part = slice(int(0.9 * end), end)
    tried: list[tuple[int, slice]] = []
    quality = {1: 3, 4: 5, 8: 4, 16: 9}
    monkeypatch.setattr(refreshed, "EPOCHS", tuple(quality))

    def studied(self: refreshed.Refreshed, stop: int, epochs: int) -> None:
        assert stop == part.start
        self._epochs = epochs

    def walked(self: refreshed.Refreshed, part: slice, list_length: int) -> RankedEvents:
        tried.append((self._epochs, part))
        place = np.full(2, 9 - quality[self._epochs], np.int32)
        rows, ones = np.arange(2), np.ones(2, np.int32)
        return RankedEvents(rows, ones > 0, place, ones, ones[:, None], 0.0)

    monkeypatch.setattr(refreshed.Refreshed, "study", studied)
    monkeypatch.setattr(refreshed.Refreshed, "walk", walked)
    assert best_epochs(LatestItem, stream, protocol, 0) == 4
    assert tried == [(epochs, part) for epochs in (1, 4, 8)]


def test_masked_items_take_no_part_in_the_loss() -> None:
    """Where all others are the user's own, there is nothing to learn; else there is."""
    stream = stream_from([("a", "u"), ("a", "v"), ("a", "w")])
    for repeats, learned in (("mask", False), ("include", True)):
        protocol = Protocol(repeats="mask" if repeats == "mask" else "include")
        trained = refreshed.Refreshed(LatestItem, stream, protocol, 0)
        trained._learn(np.array([2]), 3, 8)
        assert bool(trained._network.bias.any()) == learned


def test_the_choice_leaves_the_network_as_it_was() -> None:
    """Walking on a copy: the epochs that follow start from where the others ended."""
    stream = ring(600, 10)
    torch.manual_seed(0)
    trained = refreshed.Refreshed(LatestItem, stream, Protocol(), 0)
    trained.study(300, 1)
    before = [value.clone() for value in trained._network.state_dict().values()]
    apart = copy.copy(trained)
    apart.study(300, 2)
    assert not torch.equal(apart._network.bias, trained._network.bias)
    assert all(
        torch.equal(one, other)
        for one, other in zip(before, trained._network.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    "pairs", [[("a", "u")], [("a", "u")] * 9, [("a", f"i{at}") for at in range(9)]]
)
@pytest.mark.parametrize("score_from", [0.0, 0.5])
def test_the_smallest_streams_have_a_result(
    pairs: list[tuple[str, str]], score_from: float
) -> None:
    """One event, one item, one user; nothing before what is scored."""
    stream = stream_from(pairs)
    for protocol in (Protocol(score_from), Protocol(score_from, "all", "mask")):
        ranked = rank_by_network(LatestItem, stream, protocol, 0)
        assert ranked.rows.tolist() == stream.scored(protocol).tolist()


def test_torch_is_left_as_it_was() -> None:
    """The caller's threads and generator: other parts of the program draw from it too."""
    torch.manual_seed(9)
    threads, expected = torch.get_num_threads(), torch.random.get_rng_state()
    rank_by_network(LatestItem, ring(100, 5), Protocol(), 1)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), expected)


@given(st.integers(0, 3))
def test_simultaneous_events_are_ranked_before_any_is_learned(seed: int) -> None:
    """All of one time: nobody has a history, so all are ranked by one state."""
    generator = np.random.default_rng(seed)
    pairs = [(f"u{generator.integers(3)}", f"i{generator.integers(6)}") for _ in range(30)]
    table = table_of(pairs, seconds=[0] * len(pairs))
    stream = stream_of(table, DEFAULT_TYPES)
    protocol = Protocol(0.0, "all", "include", simultaneous="together")
    ranked = run_control(partial(rank_by_network, LatestItem), stream, protocol, 0)
    by_item: dict[int, set[int]] = {}
    for row, above in zip(ranked.rows.tolist(), ranked.greater.tolist(), strict=True):
        by_item.setdefault(int(stream.items[row]), set()).add(above)
    assert len(ranked.rows) == len(pairs)
    assert all(len(places) == 1 for places in by_item.values())
