"""How a control chooses a setting: on rows before the scored ones, under the same protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from metarec_stream.evaluate.metrics import LIST_LENGTH, RankedEvents, ranks
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream

Setting = TypeVar("Setting")
Choose = Callable[[Stream, Protocol, int], Setting]
"""The setting for a stream, a protocol and a seed."""
Rank = Callable[[Stream, Protocol, Setting, int, slice, int], RankedEvents]
"""With a setting and a seed, the part of the stream to rank, and the length of the lists."""

_CHOSEN_ON = 0.1
"""Share of the rows before the scored ones: enough to tell many settings apart in little time."""


def rows_just_before(stream: Stream, protocol: Protocol) -> slice:
    """The last tenth of the rows before the scored ones, for a choice among many settings."""
    end = protocol.first_scored(len(stream))
    return slice(int(end * (1 - _CHOSEN_ON)), end)


def best_setting(
    stream: Stream,
    protocol: Protocol,
    settings: Sequence[Setting],
    unchosen: Setting,
    seed: int,
    part: slice,
    rank: Rank[Setting],
) -> Setting:
    """The setting of largest MRR on the part; of equals the first, and `unchosen` without any."""
    best, best_mrr = unchosen, 0.0
    if part.start == part.stop:
        return best
    for setting in settings:
        place = ranks(rank(stream, protocol, setting, seed, part, 0), protocol.ties)
        if len(place) and (mrr := float(np.mean(1 / place))) > best_mrr:
            best, best_mrr = setting, mrr
    return best


def rank_chosen(
    stream: Stream,
    protocol: Protocol,
    seed: int,
    unchosen: Setting,
    choose: Choose[Setting],
    rank: Rank[Setting],
) -> RankedEvents:
    """The scored part under the setting that is chosen, which counts in the time it took.

    `unchosen` is any setting: with it all is compiled before the time is taken.
    """
    rank(stream, protocol, unchosen, seed, slice(0, 0), 0)
    started = time.perf_counter()
    scored = slice(protocol.first_scored(len(stream)), len(stream))
    ranked = rank(stream, protocol, choose(stream, protocol, seed), seed, scored, LIST_LENGTH)
    return replace(ranked, seconds=time.perf_counter() - started)
