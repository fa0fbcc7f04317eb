"""Plain readings of the protocols, which the controls are compared with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from hypothesis import strategies as st

from metarec_stream.evaluate.metrics import RankedEvents
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream

protocols = st.builds(
    Protocol,
    score_from=st.sampled_from([0.0, 0.5, 0.9]),
    candidates=st.sampled_from(["seen", "all"]),
    repeats=st.sampled_from(["include", "mask"]),
)

Events = list[tuple[str, str, str | None]]
Scores = Callable[[int], Mapping[int, float]]
"""Of a row of the stream: the score of each item; what is absent scores 0."""

_SINGLE_PRECISION = 1e-6


def wanted(stream: Stream, row: int) -> list[tuple[int, int]]:
    """User and item of the outcomes before the row, in order."""
    return [
        (int(stream.users[earlier]), int(stream.items[earlier]))
        for earlier in range(row)
        if stream.outcome[earlier]
    ]


def latest_distinct(stream: Stream, row: int) -> list[int]:
    """The items that the row's user wanted before, each once, newest first."""
    own = [item for user, item in wanted(stream, row) if user == stream.users[row]]
    return list(dict.fromkeys(reversed(own)))


def popularity_shares(stream: Stream, row: int, half_life: float) -> dict[int, float]:
    """Decayed counts of items before the row over the largest."""
    counts: defaultdict[int, float] = defaultdict(float)
    for age, (_, item) in enumerate(reversed(wanted(stream, row))):
        counts[item] += 0.5 ** (age / half_life)
    largest = max(counts.values(), default=1.0)
    return {item: count / largest for item, count in counts.items()}


def candidates(stream: Stream, protocol: Protocol, row: int) -> set[int]:
    """What the row's item is ranked among, without negatives."""
    own = stream.items[:row][stream.users[:row] == stream.users[row]].tolist()
    seen = stream.items if protocol.candidates == "all" else stream.items[:row]
    return set(seen.tolist()) - (set(own) if protocol.repeats == "mask" else set())


def assert_ranked(ranked: RankedEvents, stream: Stream, protocol: Protocol, scores: Scores) -> None:
    """All outcomes are ranked as by the scores; what is equal but for rounding may be either."""
    masked = protocol.repeats == "mask"
    assert ranked.rows.tolist() == [
        row
        for row in range(len(stream))
        if stream.outcome[row] and not (masked and stream.repeat[row])
    ]
    for place, row in enumerate(ranked.rows.tolist()):
        among, item, score = candidates(stream, protocol, row), int(stream.items[row]), scores(row)
        assert ranked.candidate[place] == (item in among)
        if item not in among:
            continue
        target = score.get(item, 0.0)
        margin = _SINGLE_PRECISION * abs(target)
        above = sum(score.get(other, 0.0) > target + margin for other in among)
        near = sum(abs(score.get(other, 0.0) - target) <= margin for other in among)
        assert above <= ranked.greater[place]
        assert ranked.greater[place] + ranked.equal[place] <= above + near
        assert ranked.equal[place] >= 1
        if target == 0.0:
            assert ranked.equal[place] == near
