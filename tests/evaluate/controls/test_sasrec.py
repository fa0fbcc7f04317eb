"""The attentive control on a stream whose next item the latest one decides."""

from __future__ import annotations

import numpy as np
import torch

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


def test_planted_order_is_learned() -> None:
    """Popularity knows nothing of it."""
    stream, protocol = planted(1_500), Protocol(score_from=0.8)
    found = sasrec(stream, protocol, 1)
    assert found.rows.tolist() == stream.scored(protocol).tolist()
    assert np.mean(ranks(found, "mid") <= 1) > 0.8


def test_the_seed_decides() -> None:
    """The same with the same seed, whatever the caller has drawn; other with another."""
    stream, protocol = planted(200), Protocol()
    lists = []
    for seed in (1, 1, 2):
        torch.rand(1)
        lists.append(sasrec(stream, protocol, seed).lists.tolist())
    assert lists[0] == lists[1]
    assert lists[0] != lists[2]


def test_states_do_not_read_what_comes_later() -> None:
    """A place's state is the same whatever follows, and other where what precedes is other."""
    torch.manual_seed(0)
    network = AttentiveNetwork(20).eval()
    inputs = torch.randint(0, 20, (3, WINDOW))
    changed = inputs.clone()
    changed[:, 40] = (changed[:, 40] + 1) % 20
    one, other = network(inputs), network(changed)
    torch.testing.assert_close(one[:, :40], other[:, :40])
    assert not torch.allclose(one[:, 40:], other[:, 40:])
