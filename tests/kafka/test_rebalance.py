"""Rebalances are noted on the library's thread and handled on the one that polls."""

from __future__ import annotations

import asyncio
import threading

from kafka import TopicPartition

from metarec_stream.config import Settings
from metarec_stream.kafka.rebalance import Rebalance, RebalanceNotes
from metarec_stream.kafka.source import KafkaSource
from metarec_stream.kafka.topics import ensure_topics
from tests.transport.backends import wait_until

BUSY_S = 0.2


def test_notes_come_out_once_and_in_order() -> None:
    """What was lost is not taken for revoked, and an empty change is none."""
    paused: list[TopicPartition] = []
    notes = RebalanceNotes(paused.extend)
    first, second = TopicPartition("t", 1), TopicPartition("t", 0)

    async def rebalance() -> None:
        await notes.on_partitions_assigned({first, second})
        await notes.on_partitions_revoked(set())
        await notes.on_partitions_lost({second})

    asyncio.run(rebalance())
    assert set(paused) == {first, second}
    assert notes.drain() == [Rebalance("assigned", (0, 1)), Rebalance("lost", (0,))]
    assert notes.drain() == []


class Member:
    """A member of the group on a thread of its own, as a process: busy between short polls."""

    def __init__(self, settings: Settings) -> None:
        self.heard: list[Rebalance] = []
        self.threads: set[int] = set()
        self.source = KafkaSource(settings, self._hear)
        self._left = threading.Event()
        self.thread = threading.Thread(target=self._poll, daemon=True)
        self.thread.start()

    def leave(self) -> None:
        self._left.set()
        self.thread.join(timeout=10)
        assert not self.thread.is_alive()

    def _poll(self) -> None:
        while not self._left.wait(BUSY_S):
            assert not self.source.poll(5, 10)
        self.source.close()

    def _hear(self, change: Rebalance) -> None:
        self.heard.append(change)
        self.threads.add(threading.get_ident())


def test_a_second_member_takes_its_share_and_gives_it_back(settings: Settings) -> None:
    """Each hears of what it gets and gives on the thread that polls, and the group settles."""
    ensure_topics(settings)
    prompt = settings.kafka.model_copy(update={"heartbeat_interval_ms": 200})
    settings = settings.model_copy(update={"kafka": prompt})
    one = Member(settings)
    wait_until(lambda: one.source.owned == {0, 1})
    two = Member(settings)
    wait_until(lambda: len(one.source.owned) == len(two.source.owned) == 1)
    [moved] = two.source.owned
    assert one.heard == [Rebalance("assigned", (0, 1)), Rebalance("revoked", (moved,))]
    assert two.heard == [Rebalance("assigned", (moved,))]
    # One generation to join and two to move: every join that is thrown away adds one.
    generation = getattr(two.source.group_metadata(), "generation_id", 0)
    assert 0 < generation < 10
    two.leave()
    wait_until(lambda: one.source.owned == {0, 1})
    assert one.heard[2:] == [Rebalance("assigned", (moved,))]
    assert one.threads == {one.thread.ident}
    assert two.threads == {two.thread.ident}
    one.leave()


def test_a_join_that_the_library_lost_sight_of_is_taken_up(settings: Settings) -> None:
    """Brought about by hand: a join is under way that no reason to join is left for."""
    ensure_topics(settings)
    source = KafkaSource(settings, lambda _: None)
    wait_until(lambda: bool(source.poll(5, 10)) or source.owned == {0, 1})
    coordinator = source._consumer._coordinator
    coordinator.rejoining = True
    join = coordinator._manager.call_soon(coordinator._do_join_and_sync_async)
    coordinator._join_task = join
    wait_until(lambda: join.is_done)
    assert not coordinator.need_rejoin()

    source.poll(5, 10)
    assert source.settled
    assert source.owned == {0, 1}
    source.close()
