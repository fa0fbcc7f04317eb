"""The neural controls on a stream whose next item the latest one decides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from metarec_stream.evaluate.controls.control import Control
from metarec_stream.evaluate.controls.gru4rec import RecurrentNetwork, gru4rec
from metarec_stream.evaluate.controls.refreshed import SequenceNetwork
from metarec_stream.evaluate.controls.sasrec import AttentiveNetwork, sasrec
from metarec_stream.evaluate.controls.sequences import WINDOW
from metarec_stream.evaluate.metrics import ranks
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream
from tests.evaluate.streams import planted_table, stream_from


def planted(events: int) -> Stream:
    """Users who go round a ring of items of their own, among 60."""
    table = planted_table(events, seed=0)
    return stream_from(list(zip(table.user, table.item, strict=True)))


@pytest.mark.parametrize(("control", "events"), [(gru4rec, 3_000), (sasrec, 1_500)])
def test_planted_order_is_learned(control: Control, events: int) -> None:
    """Popularity knows nothing of it."""
    stream, protocol = planted(events), Protocol(score_from=0.8)
    found = control(stream, protocol, 1)
    assert found.rows.tolist() == stream.scored(protocol).tolist()
    assert np.mean(ranks(found, "mid") <= 1) > 0.8


@pytest.mark.parametrize("control", [gru4rec, sasrec])
def test_the_seed_decides(control: Control) -> None:
    """The same with the same seed, whatever the caller has drawn; other with another."""
    stream, protocol = planted(200), Protocol()
    lists = []
    for seed in (1, 1, 2):
        torch.rand(1)
        lists.append(control(stream, protocol, seed).lists.tolist())
    assert lists[0] == lists[1]
    assert lists[0] != lists[2]


@pytest.mark.parametrize("kind", [RecurrentNetwork, AttentiveNetwork])
def test_states_do_not_read_what_comes_later(kind: Callable[[int], SequenceNetwork]) -> None:
    """A place's state is the same whatever follows, and other where what precedes is other."""
    torch.manual_seed(0)
    network = kind(20).eval()
    inputs = torch.randint(0, 20, (3, WINDOW))
    changed = inputs.clone()
    changed[:, 40] = (changed[:, 40] + 1) % 20
    one, other = network(inputs), network(changed)
    torch.testing.assert_close(one[:, :40], other[:, :40])
    assert not torch.allclose(one[:, 40:], other[:, 40:])
