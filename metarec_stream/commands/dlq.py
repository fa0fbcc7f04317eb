"""`metarec dlq`: list, show and replay dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Literal

import structlog
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from metarec_stream.config import Settings
from metarec_stream.dead_letters.letter import Letter
from metarec_stream.dead_letters.presentation import lines_of, table_of
from metarec_stream.dead_letters.replay import Planned, plan, replayed_places
from metarec_stream.dead_letters.selection import Selection, selected_letters
from metarec_stream.dead_letters.sender import ReplaySender
from metarec_stream.errors import Fatal, Reason
from metarec_stream.kafka.fixed_log import FixedLog
from metarec_stream.kafka.rights import dlq_rights
from metarec_stream.settings_sources import BadConfiguration

LETTERS_PER_TRANSACTION = 500
REFUSED = 1

log = structlog.get_logger()


def dlq(
    action: Literal["list", "show", "replay"],
    /,
    *,
    reason: Annotated[tuple[Reason, ...], Parameter(negative="")] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    partition: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    offset: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    limit: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    show_users: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    again: Annotated[bool, Parameter(negative="")] = False,
    most_replays: Annotated[int, Parameter(validator=Number(gte=1))] = 3,
    settings: Annotated[Settings, Parameter(parse=False)],
) -> int:
    """List dead letters, show one, or post the rejected records to the input again.

    Status 0; of `replay` 1 if any selected letter was refused: each is named with why.

    Parameters
    ----------
    action
        `list`: a table. `show`: all of the first that is selected. `replay`: post them again.
    reason
        Only those rejected for this reason; may be given several times, as the next two.
    since
        Only those rejected at this time or later; UTC unless it names its zone.
    until
        Only those rejected before this time.
    partition
        Only those of this partition.
    offset
        Only those at this offset of the dead letters' topic.
    limit
        Only so many, the first ones.
    show_users
        Show user ids in clear.
    dry_run
        Say what `replay` would do, and do nothing.
    again
        Let `replay` post what it posted before.
    most_replays
        Refuse a record that was replayed so often and rejected each time.
    """
    selection = Selection(
        frozenset(each.value for each in reason), _ms(since), _ms(until), frozenset(partition),
        frozenset(offset),
    )  # fmt: skip
    if action != "replay" and (dry_run or again):
        raise BadConfiguration(f"--dry-run and --again belong to `dlq replay`, not to {action}")
    if action == "replay":
        replay = _dry_run if dry_run else _replay
        return _told(replay(settings, selection, limit, most_replays, again), dry_run)
    with _opened(settings, [settings.topics.dead_letters_topic()]) as letters_log:
        letters = _letters(settings, letters_log, selection, 1 if action == "show" else limit)
    if action == "show":
        _show(letters, show_users)
    else:
        Console().print(table_of(letters, show_users))
    return 0


def _show(letters: Sequence[Letter], show_users: bool) -> None:
    if not letters:
        raise Fatal("no dead letter is selected: `metarec dlq list` shows which there are")
    for line in lines_of(letters[0], show_users):
        print(line)


def _dry_run(
    settings: Settings, selection: Selection, limit: int | None, most: int, again: bool
) -> list[Planned]:
    topics = settings.topics
    with _opened(settings, [topics.dead_letters_topic(), topics.interactions]) as both:
        letters = _letters(settings, both, selection, limit)
        done = _done(settings, both, letters)
    return plan(letters, done, settings, most_replays=most, again=again)


def _replay(
    settings: Settings, selection: Selection, limit: int | None, most: int, again: bool
) -> list[Planned]:
    with closing(ReplaySender(settings)) as sender:
        # Looked for only now: what another replay had open has been ended by this one's producer.
        planned = _dry_run(settings, selection, limit, most, again)
        accepted = [each.letter for each in planned if each.refusal is None]
        for first in range(0, len(accepted), LETTERS_PER_TRANSACTION):
            sender.send(accepted[first : first + LETTERS_PER_TRANSACTION])
    return planned


def _done(settings: Settings, both: FixedLog, letters: Sequence[Letter]) -> dict[str, str]:
    """The replays that the input holds of these letters: they lie behind the rejected records."""
    topic = settings.topics.interactions
    both.settle(topic)
    done: dict[str, str] = {}
    for partition in {letter.partition for letter in letters}:
        ours = [each.source_offset for each in letters if each.partition == partition]
        done |= replayed_places(both.records(topic, partition, min(ours)))
    return done


def _told(planned: Sequence[Planned], dry_run: bool) -> int:
    """The exit status; a line of log for each refusal."""
    refused = [each for each in planned if each.refusal is not None]
    for each in refused:
        log.warning("dead_letter_not_replayed", letter=each.letter.place, reason=each.refusal)
    said = "would be replayed" if dry_run else "replayed"
    print(f"{len(planned) - len(refused):,} dead letters {said}, {len(refused):,} refused")
    return REFUSED if refused else 0


def _letters(
    settings: Settings, letters_log: FixedLog, selection: Selection, limit: int | None
) -> list[Letter]:
    topic = settings.topics.dead_letters_topic()
    letters_log.fix(topic)
    return list(islice(selected_letters(letters_log, topic, selection), limit))


@contextmanager
def _opened(settings: Settings, topics: Sequence[str]) -> Iterator[FixedLog]:
    with closing(FixedLog(settings, topics, dlq_rights(settings))) as opened:
        yield opened


def _ms(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1e3)
