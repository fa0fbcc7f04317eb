"""Random slow weights, events and windows for the training half of the value-sum adapter."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metarec_stream.adapters.value_sum.outer import Tasks
from metarec_stream.adapters.value_sum.prefixes import Prefixes

N, M, F, C, L, H, D, R, ROWS, TOKENS = 5, 4, 5, 2, 3, 2, 4, 4, 6, 5


def parameters(seed: int = 0) -> dict[str, Tensor]:
    """Random slow weights in double precision; no weight w_hl is near LEAST_WEIGHT."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return {
        "value": normal(ROWS, D),
        "embedding": normal(ROWS, D),
        "bias": normal(ROWS),
        "prior": normal(ROWS),
        "mixing": normal(H, D, D),
        "start": normal(D),
        "gain": 1 + 0.2 * normal(D),
        "step_decay": normal(H),
        "agreement": normal(H, math.comb(H, 2)),
        "log_time_scale": 4 + normal(H),
        "taste": normal(1),
        "theta": normal(F, C),
        "content_value": normal(TOKENS, D),
        "content_embedding": normal(TOKENS, D),
        "content_bias": normal(TOKENS),
        "profile_start": normal(TOKENS, D),
        "feature_step": normal(F),
        "feature_keep": normal(F),
        "rerank_first": normal(F + 1 + C, R),
        "rerank_first_bias": normal(R),
        "rerank_second": normal(R, R),
        "rerank_second_bias": normal(R),
        "rerank_last": normal(R),
        "rerank_share": torch.full((1,), 0.5, dtype=torch.float64),
        "temperature": torch.zeros(1, dtype=torch.float64),
    }


def tokens(rows: int, generator: torch.Generator) -> Tensor:
    """Random tokens [rows, 3]; the first row has one, the second none."""
    found = torch.randint(0, TOKENS, (rows, 3), generator=generator)
    found[0, 1:] = -1
    found[1] = -1
    return found


def tasks(seed: int = 1) -> Tasks:
    """Random events, some candidates and window places padded."""
    generator = torch.Generator().manual_seed(seed)
    candidates = torch.randint(0, ROWS, (N, M), generator=generator)
    candidates[0, 2:] = -1
    window = torch.randint(0, ROWS, (N, L), generator=generator)
    window[1, 1:] = -1
    window[2] = -1
    return Tasks(
        candidates=candidates,
        reranked=torch.randint(0, 2, (N, M), generator=generator),
        log_q=torch.rand(N, M, generator=generator, dtype=torch.float64),
        features=torch.randn(N, M, F, generator=generator, dtype=torch.float64),
        window=window,
        gaps=20 * torch.rand(N, L, generator=generator, dtype=torch.float64).cumsum(1),
        situation=torch.randn(N, C, generator=generator, dtype=torch.float64),
        feature_weights=torch.randn(N, 3, F, generator=generator, dtype=torch.float64),
        weights=torch.tensor([1.0, 1.0, 0.5, 2.0, 1.0], dtype=torch.float64),
        unlearned=torch.ones(N, dtype=torch.float64),
        item_tokens=tokens(ROWS, generator),
        profile_tokens=tokens(N, generator),
    )


def prefixes() -> Prefixes:
    """The windows of the random events, and what came, among all rows."""
    events = tasks()
    return Prefixes(
        items=torch.cat([events.candidates[:, :1], events.window], 1),
        times=torch.nn.functional.pad(events.gaps, (1, 0)),
        weights=events.weights[:, None].expand(N, L),
        profile_tokens=events.profile_tokens,
        kept_values=torch.ones(N, L + 1, D, dtype=torch.float64),
        kept_queries=torch.ones(N, L, D, dtype=torch.float64),
        shared=torch.arange(ROWS),
    )
