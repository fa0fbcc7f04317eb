"""The training half of the value-sum adapter: its arithmetic and its gradients."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from metarec_stream.adapters.protocol import FastWeights
from metarec_stream.adapters.value_sum import online
from metarec_stream.adapters.value_sum.adapter import ValueSum
from metarec_stream.adapters.value_sum.outer import (
    SHARES,
    Scores,
    Tasks,
    first_scores,
    item_tables,
    losses_by_share,
    outer_loss,
    queries,
    residuals,
    scores,
    starts,
    taste_alone,
    training_losses,
    with_tokens,
)
from metarec_stream.adapters.value_sum.parameters import (
    CONTENT,
    NETWORK,
    PROFILE,
    TOKEN_TABLES,
    UNTRAINED,
)
from metarec_stream.adapters.value_sum.prefixes import prefix_loss
from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.contract.meta_version import MetaVersion
from tests.adapters.drawn import (
    ROWS,
    TOKENS,
    C,
    D,
    F,
    H,
    L,
    M,
    N,
    R,
    parameters,
    prefixes,
    tasks,
)

FEATURE_NAMES = ("popularity_500", "popularity_5000", "in_ring",
                    "transition_from_latest", "cooccurrence_weighted")  # fmt: skip


def test_a_query_computed_by_hand() -> None:
    """The query is gain ⊙ LayerNorm(start + Σ_h Z_h W_h / √(1 + Σ_l w_hl)), one item faded."""
    one = {
        "value": torch.tensor([[1.0, 0.0], [0.0, 2.0], [1e9, 0.0]], dtype=torch.float64),
        "mixing": torch.tensor([[[1.0, 3.0], [0.0, 1.0]]], dtype=torch.float64),
        "start": torch.tensor([0.5, -0.5], dtype=torch.float64),
        "gain": torch.tensor([2.0, 1.0], dtype=torch.float64),
        "step_decay": torch.tensor([0.0], dtype=torch.float64),
        "agreement": torch.zeros(1, 0, dtype=torch.float64),
        "log_time_scale": torch.tensor([math.log(100.0)], dtype=torch.float64),
    }
    # Below LEAST_WEIGHT: the third adds nothing to Z, and still counts in the sum of weights.
    faded = 0.9e-5
    gaps = torch.tensor([[0.0, 100.0, -100 * math.log(faded / 0.25)]], dtype=torch.float64)
    second = 0.5 * math.exp(-1.0)
    scale = 1 / math.sqrt(1 + 1 + second + faded)
    z = [1.0 * scale, 2.0 * second * scale]
    pre = [0.5 + z[0], -0.5 + 3 * z[0] + z[1]]
    mean = sum(pre) / 2
    deviation = math.sqrt(sum((x - mean) ** 2 for x in pre) / 2 + 1e-5)
    expected = [2.0 * (pre[0] - mean) / deviation, (pre[1] - mean) / deviation]
    got = queries(one, torch.tensor([[0, 1, 2]]), gaps)
    np.testing.assert_allclose(got[0].numpy(), expected, rtol=1e-12)


def test_what_is_trained_is_what_is_served() -> None:
    """The online half's query, from its own fast weights, is the one the loss is made of."""
    slow, events = parameters(), tasks()
    given = {name: tensor.float().numpy() for name, tensor in slow.items()}
    items = [f"item-{row}" for row in range(ROWS)]
    version = MetaVersion(1, 0, "value-sum", items, given)
    settings = ValueSumSettings(dimensions=D, time_scales=H, window=L, rerank_units=R)
    adapter = ValueSum(settings, FEATURE_NAMES, C)
    start = np.zeros((ROWS, D), np.float32)
    served = adapter.slow_weights(version, {item: row for row, item in enumerate(items)}, start)
    window, now = events.window.numpy().astype(np.int32), 10**12
    times = (now - 1_000 * events.gaps.numpy()).round().astype(np.int64)
    fast = FastWeights(
        np.zeros((N, adapter.fast_size), np.float32), np.zeros(N, np.int64), np.full(N, -1)
    )
    lengths = (window >= 0).sum(1).astype(np.int32)
    adapter.rebuild(served, fast, np.arange(N), window, times, lengths)
    expected = queries(slow, events.window, events.gaps)
    for event in range(N):
        got = np.zeros(D, np.float32)
        online.query(served, fast, event, now, np.zeros(D, np.float32), got)
        np.testing.assert_allclose(got, expected[event].numpy(), atol=1e-3)


def test_an_item_that_overtook_a_late_event_counts_as_of_now() -> None:
    """A gap below 0 is one of 0, however far below: its weight must not grow without bound."""
    slow, events = parameters(), tasks()
    now, future = events.gaps.clone(), events.gaps.clone()
    now[:, 0], future[:, 0] = 0.0, -1e9
    torch.testing.assert_close(
        queries(slow, events.window, future), queries(slow, events.window, now)
    )


def test_the_score_is_taste_bias_features_and_correction() -> None:
    """s(i) = q·E_i + b_i + ω(q·V_i + p_i) + Σ_f x_f (θ_f·c + δ_f) + log_q, never of padding."""
    slow, events = parameters(), tasks()
    slow = {name: kept for name, kept in slow.items() if name not in TOKEN_TABLES}
    got = scores(slow, events).first
    query = queries(slow, events.window, events.gaps)
    for event in range(N):
        weights = slow["theta"] @ events.situation[event] + events.feature_weights[event, 0]
        for column in range(M):
            row = int(events.candidates[event, column])
            if row < 0:
                assert got[event, column] == -math.inf
                continue
            told = events.features[event, column] @ weights
            alone = query[event] @ slow["value"][row] + slow["prior"][row]
            beyond = query[event] @ slow["embedding"][row] + slow["bias"][row]
            expected = slow["taste"][0] * alone + beyond + told
            assert got[event, column] == pytest.approx(
                float(expected + events.log_q[event, column])
            )


def complete(slow: dict[str, Tensor], events: Tasks) -> Tensor:
    """The scores before the re-ranker and the correction."""
    return first_scores(slow, events, taste_alone(slow, events))


def test_content_and_profile_add_the_means_of_their_tokens() -> None:
    """Tables written down with the means added, and no tokens, give the same scores."""
    slow, events = parameters(), tasks()
    plain = {name: kept.clone() for name, kept in slow.items() if name not in TOKEN_TABLES}
    for table, name in CONTENT.items():
        for row in range(ROWS):
            mine = [int(token) for token in events.item_tokens[row] if token >= 0]
            if mine:
                plain[table][row] += slow[name][mine].mean(0)
    got = complete(slow, events)
    for event in range(N):
        mine = [int(token) for token in events.profile_tokens[event] if token >= 0]
        began = {**plain, "start": plain["start"].clone()}
        if mine:
            began["start"] += slow[PROFILE][mine].mean(0)
        torch.testing.assert_close(got[event], complete(began, events)[event])
    assert float((got - complete(plain, events)).abs().max()) > 0.01


def test_content_is_served_as_it_is_trained() -> None:
    """The consumer lays out the same rows and starts, tokens that nothing was learned of are 0."""
    slow, events = parameters(), tasks()
    served = item_tables(slow, events)
    given = {name: tensor.float().numpy() for name, tensor in slow.items()}
    items = [f"item-{row}" for row in range(ROWS)]
    version = MetaVersion(1, 0, "value-sum", items, given)
    settings = ValueSumSettings(dimensions=D, time_scales=H, window=L, rerank_units=R)
    adapter = ValueSum(settings, FEATURE_NAMES, C)
    rows = {item: row for row, item in enumerate(items)}
    laid_out = adapter.slow_weights(version, rows, np.zeros((ROWS, D), np.float32))
    tokens = events.item_tokens.numpy().astype(np.int16)
    adapter.add_content(laid_out, version, np.arange(ROWS), tokens)
    found_by = served["embedding"] + slow["taste"] * served["value"]
    np.testing.assert_allclose(laid_out.embedding.T, found_by.numpy(), atol=1e-5)
    bias = served["bias"] + slow["taste"] * served["prior"]
    np.testing.assert_allclose(laid_out.bias, bias.numpy(), atol=1e-5)
    profiles = events.profile_tokens.numpy().astype(np.int16)
    expected = starts(slow, events) - slow["start"]
    np.testing.assert_allclose(
        adapter.profile_starts(version, profiles), expected.numpy(), atol=1e-5
    )
    beyond = np.array([[0, TOKENS]], np.int16)
    half = adapter.profile_starts(version, beyond)
    np.testing.assert_allclose(half[0], given[PROFILE][0] / 2, atol=1e-6)


def test_what_the_re_ranker_adds_by_hand() -> None:
    """Two layers of rectified units on features, the cut score and the situation; 0 elsewhere."""
    slow, events = parameters(), tasks()
    first = 10 * complete(slow, events)
    got = residuals(slow, events, first)
    for event in range(N):
        for column in range(M):
            score = 0.25 * first[event, column].clamp(-20, 20)
            seen = torch.cat([events.features[event, column], score[None], events.situation[event]])
            hidden = torch.relu(seen @ slow["rerank_first"] + slow["rerank_first_bias"])
            hidden = torch.relu(hidden @ slow["rerank_second"] + slow["rerank_second_bias"])
            expected = hidden @ slow["rerank_last"] * events.reranked[event, column]
            torch.testing.assert_close(got[event, column], expected)
    assert float(got.abs().max()) > 0


def cross_entropy(total: Tensor) -> Tensor:
    """Of column 0 among all: [n]."""
    return torch.logsumexp(total, 1) - total[:, 0]


def served_losses(slow: dict[str, Tensor], events: Tasks) -> Tensor:
    """The loss [n] of each event with the share of the re-ranker that is served."""
    return cross_entropy(scores(slow, events).of_share(slow["rerank_share"]))


def test_the_re_ranker_cannot_move_what_it_stands_on() -> None:
    """The gradient of the shared weights is that of the loss without it, and served is a mix."""
    slow, events = parameters(), tasks()
    slow["theta"].requires_grad_()
    minimised, served = training_losses(slow, events)
    (got,) = torch.autograd.grad(minimised.sum(), [slow["theta"]])
    alone = {**slow, "rerank_last": torch.zeros(R, dtype=torch.float64)}
    (expected,) = torch.autograd.grad(served_losses(alone, events).sum(), [slow["theta"]])
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(served, served_losses(slow, events).detach())
    half = losses_by_share(scores(slow, events))[SHARES.index(0.5)]
    torch.testing.assert_close(half.detach(), served)


def test_how_far_parts_are_believed_is_learned_out_of_sample() -> None:
    """Of events that something learned from, the mix learns nothing; all else learns as ever."""
    slow, events = parameters(), tasks()
    mix = ("taste", "theta", "feature_step", "feature_keep", *NETWORK)
    others = ("embedding", "bias", "value", "start")
    for name in (*mix, *others):
        slow[name].requires_grad_()
    some = replace(events, unlearned=torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0]))

    def gradients(given: Tasks, counted: Tensor) -> dict[str, Tensor]:
        minimised, served = training_losses(slow, given)
        torch.testing.assert_close(served, training_losses(slow, events)[1])
        names = (*mix, *others)
        found = torch.autograd.grad((minimised * counted).sum(), [slow[name] for name in names])
        return dict(zip(names, found, strict=True))

    everything = torch.ones(N, dtype=torch.float64)
    got, usual = gradients(some, everything), gradients(events, everything)
    alone = gradients(events, some.unlearned.double())
    for name in mix:
        torch.testing.assert_close(got[name], alone[name])
        assert not torch.allclose(got[name], usual[name])
    for name in others:
        torch.testing.assert_close(got[name], usual[name])


def test_what_pads_the_window_changes_nothing() -> None:
    """A longer window of padding, whatever gaps stand there, gives the same loss."""
    slow, events = parameters(), tasks()
    longer = replace(
        events,
        window=torch.cat([events.window, torch.full((N, 2), -1)], 1),
        gaps=torch.cat([events.gaps, torch.full((N, 2), 7.0, dtype=torch.float64)], 1),
    )
    torch.testing.assert_close(served_losses(slow, longer), served_losses(slow, events))


def taste_loss(slow: dict[str, Tensor], events: Tasks) -> Tensor:
    """What the value vectors learn from."""
    start = with_tokens(slow["start"], slow[PROFILE], events.profile_tokens)
    return prefix_loss(item_tables(slow, events), prefixes(), start)


def objective(slow: dict[str, Tensor], events: Tasks, name: str, alone: Tensor) -> Tensor:
    """The part of what is minimised that this parameter moves; alone: where it started."""
    first = first_scores(slow, events, alone)
    found = Scores(
        (first + events.log_q).masked_fill(events.candidates < 0, -math.inf),
        residuals(slow, events, first.detach()),
    )
    total = found.of_share(1.0 if name in NETWORK else 0.0)
    ranked = outer_loss(cross_entropy(total), events.weights, events.weights.sum())
    return ranked + taste_loss(slow, events)


@pytest.mark.parametrize(
    "name",
    [name for name in parameters() if name not in (*UNTRAINED, "feature_step", "feature_keep")],
)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    """Autograd through the fast weights equals central differences, for every entry of each."""
    slow, events = parameters(), tasks()
    alone = taste_alone(slow, events)
    slow[name].requires_grad_()
    (gradient,) = torch.autograd.grad(objective(slow, events, name, alone), [slow[name]])
    flat = slow[name].detach().reshape(-1)
    for entry in range(flat.numel()):
        values = []
        for step in (1e-6, -1e-6):
            moved = flat.clone()
            moved[entry] += step
            at = {**slow, name: moved.reshape(slow[name].shape)}
            values.append(float(objective(at, events, name, alone)))
        numeric = (values[0] - values[1]) / 2e-6
        assert float(gradient.reshape(-1)[entry]) == pytest.approx(numeric, rel=1e-5, abs=1e-8)
    assert float(gradient.abs().max()) > 0


def test_learning_lowers_the_loss_of_a_planted_problem() -> None:
    """Users' next item is the successor of their last: gradient steps on all weights learn it."""
    generator = torch.Generator().manual_seed(3)
    slow = {name: kept.float() for name, kept in parameters().items() if name != "temperature"}
    slow["embedding"] *= 0
    slow["bias"] *= 0
    slow["theta"] *= 0
    slow["taste"] *= 0
    slow["prior"] *= 0
    last = torch.randint(0, ROWS, (64,), generator=generator)
    others = (last[:, None] + torch.arange(1, ROWS)) % ROWS
    events = Tasks(
        candidates=others,
        reranked=torch.zeros(64, ROWS - 1),
        log_q=torch.zeros(64, ROWS - 1),
        features=torch.zeros(64, ROWS - 1, F),
        window=last[:, None],
        gaps=torch.zeros(64, 1),
        situation=torch.zeros(64, C),
        feature_weights=torch.zeros(64, 3, F),
        weights=torch.ones(64),
        unlearned=torch.ones(64),
        item_tokens=torch.full((ROWS, 1), -1),
        profile_tokens=torch.full((64, 1), -1),
    )
    for tensor in slow.values():
        tensor.requires_grad_()
    optimiser = torch.optim.Adam(slow.values(), lr=0.05)
    means = []
    for _ in range(100):
        each = served_losses(slow, events)
        objective = outer_loss(each, events.weights, events.weights.sum())
        means.append(float(objective.detach()))
        gradients = torch.autograd.grad(
            objective, list(slow.values()), allow_unused=True, materialize_grads=True
        )
        for tensor, gradient in zip(slow.values(), gradients, strict=True):
            tensor.grad = gradient
        optimiser.step()
    assert means[0] == pytest.approx(math.log(ROWS - 1), rel=1e-4)
    assert means[-1] < 0.2 * means[0]
