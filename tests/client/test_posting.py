"""What was posted is counted, also when somebody presses Ctrl-C."""

from __future__ import annotations

import os
import signal
from typing import cast

import pytest

from metarec_stream.client.pacing import AtOnce
from metarec_stream.client.posting import Posted, post_interactions
from metarec_stream.client.producer import InteractionProducer
from metarec_stream.contract.interaction import Interaction


class InterruptedProducer:
    """Takes an event, and is interrupted before it returns from the third."""

    def __init__(self) -> None:
        self.taken = 0
        self.flushed = False

    def post(self, _interaction: Interaction) -> None:
        self.taken += 1
        if self.taken == 3:
            os.kill(os.getpid(), signal.SIGINT)

    def flush(self) -> None:
        self.flushed = True


def test_an_interrupt_while_an_event_is_posted_comes_after_it_is_counted() -> None:
    """Kafka has three, so three are told, and the interrupt is not lost."""
    producer, posted = InterruptedProducer(), Posted()
    events = [Interaction(user="ann", item=str(number)) for number in range(9)]
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        post_interactions(cast("InteractionProducer", producer), events, 9, AtOnce(), posted)
    assert posted.interactions == producer.taken == 3
    assert producer.flushed
    assert signal.getsignal(signal.SIGINT) is before
