"""On the synthetic stream the right answer is known: who learns tastes wins, and recovers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from metarec_stream.contract.interaction import DEFAULT_TYPES
from metarec_stream.datasets.settings import SyntheticSettings
from metarec_stream.datasets.synthetic import SyntheticStream, synthetic_stream
from metarec_stream.evaluate.dataset import table_of
from metarec_stream.evaluate.metrics import ranks
from metarec_stream.evaluate.models import CONTROLS
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import stream_of

PROTOCOL = Protocol(repeats="mask")
CHANGE = 15_000
PLANTED = SyntheticSettings(
    events=20_000, users=300, items=1_000, new_users=0.01, new_items=0.002, tastes=5,
    change_at=(CHANGE,), repeats=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def synthetic() -> SyntheticStream:
    """No repeats, one change."""
    return synthetic_stream(PLANTED, seed=0)


def hits(model: str, synthetic: SyntheticStream) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """[m] the scored rows, and whether the item that came was among the first ten."""
    stream = stream_of(table_of(synthetic), DEFAULT_TYPES)
    ranked = CONTROLS[model](stream, PROTOCOL, 0).of(stream.scored(PROTOCOL))
    return ranked.rows, ranks(ranked, PROTOCOL.ties) <= 10


def test_neighbours_learn_the_tastes_and_popularity_does_not(synthetic: SyntheticStream) -> None:
    """Before the change; item-kNN is far above popularity, which knows nobody's taste."""
    rows, hit = hits("itemknn", synthetic)
    _, plain = hits("popularity", synthetic)
    before = rows < CHANGE
    assert hit[before].mean() > 2 * plain[before].mean()


def test_a_change_is_felt_at_once_and_outlived_within_events(synthetic: SyntheticStream) -> None:
    """The first event after the change is missed, and the user's own few events repair it."""
    rows, hit = hits("itemknn", synthetic)
    since, known = synthetic.since_change()[rows], synthetic.truth.user_from < CHANGE - 2_000
    after = (rows >= CHANGE) & known[synthetic.users[rows]]
    usual = hit[rows < CHANGE].mean()
    assert hit[after & (since == 0)].mean() < 0.5 * usual
    assert hit[after & (since >= 4) & (since < 12)].mean() > 0.8 * usual
