"""A warm start: past events through consumer and learner, before the stream begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.evaluate.admission import posted
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.prequential import prequential_settings
from metarec_stream.evaluate.replay import Replay
from metarec_stream.pipeline.compile_kernels import see_to_kernels
from metarec_stream.pipeline.recommender import RankProtocol

FIRST = 1


def learn_history(
    table: EventTable, settings: Settings, created_ms: int, progress: Callable[[int], None]
) -> MetaVersion | None:
    """Version 1 from past events: what passed the gate last, None if nothing did.

    One pass in the order of time, each event ranked before it is learned, as the service does it.
    The gate compares on events that neither side had learned: first with version 0, then with
    what passed before. created_ms: when the version is made. progress: called with the number of
    events done.
    """
    passed: list[MetaVersion] = []
    block = settings.learn.block
    replayed = prequential_settings(settings, block)
    replay = Replay(
        replayed, RankProtocol(), on_version=lambda _at, version: passed.append(version)
    )
    see_to_kernels()
    replay.recommender.warm_up()
    topic = settings.topics.interactions
    for start in range(0, len(table), block):
        rows = range(start, min(start + block, len(table)))
        replay.step([(posted(table, row, topic), int(table.ts[row])) for row in rows])
        del passed[:-1]
        progress(rows.stop)
    return _as_first(passed[-1], created_ms) if passed else None


def _as_first(version: MetaVersion, created_ms: int) -> MetaVersion:
    """Nothing of it refers to the log in memory: no task of the topic has been learned."""
    return replace(version, version=FIRST, parent=0, task_offsets={}, created_ms=created_ms)
