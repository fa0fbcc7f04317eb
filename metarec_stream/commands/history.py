"""What `metarec learn --history` does before the learner starts."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import structlog

from metarec_stream.clock import Clock
from metarec_stream.commands.events_file import accepted_events
from metarec_stream.commands.progress import event_bar
from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.evaluate.dataset import Columns
from metarec_stream.evaluate.history import learn_history
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.learner.publish import VersionLog

logger = structlog.get_logger()


def version_from_history(
    path: Path, columns: Columns, limit: int | None, settings: Settings, clock: Clock
) -> MetaVersion | None:
    """Version 1 from a file of past events, None where there is none to be published.

    That is so if the meta topic has a version already, or if nothing passed the gate; both are
    logged. Raises Fatal if the file cannot be read or the brokers cannot be had.
    """
    if (newest := _newest_number(settings)) > 0:
        logger.warning(
            "history_not_learned",
            reason=f"meta version {newest} is on {settings.topics.meta}, and a history is for a "
            "new installation: the learner goes on from that version; to begin anew, set "
            "METAREC_TOPICS__META and METAREC_TOPICS__TASKS to new topics",
        )
        return None
    table = accepted_events(path, columns, limit, settings)
    logger.info("history_begins", events=len(table))
    with event_bar() as bar:
        task = bar.add_task("history", total=len(table))
        version = learn_history(
            table, settings, clock.now_ms(), lambda done: bar.update(task, completed=done)
        )
    if version is None:
        logger.warning(
            "history_published_nothing",
            events=len(table),
            reason="nothing learned from it was better than version 0 on later events of it by "
            "what the gate asks: the learner begins from version 0",
        )
        return None
    logger.info("history_learned", events=len(table), items=len(version.items))
    return version


def _newest_number(settings: Settings) -> int:
    ensure_topics(settings)
    with closing(VersionLog(settings)) as versions:
        return versions.newest_number()
