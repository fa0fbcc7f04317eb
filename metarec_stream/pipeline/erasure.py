"""Forgetting users in the course of a batch, and what is said of those who are erased: receipts.

An `erase` stands among the user's events in the log. Up to it a batch's events have the user's row;
what comes after it gets another one, so that the compiled steps need not know. The same with users
who did not come back, as of the event that moved the watermark.
"""

from __future__ import annotations

from metarec_stream.config import Settings
from metarec_stream.contract.codec import encode
from metarec_stream.contract.receipt import Receipt, receipt_key, shown_hash
from metarec_stream.contract.recommendation import SourcePosition
from metarec_stream.contract.transport import Output
from metarec_stream.hashing import hash64
from metarec_stream.pipeline.accept import Accepted, Erasure, Expiry
from metarec_stream.pipeline.decode import forget_keys
from metarec_stream.pipeline.hard_state import HardState
from metarec_stream.pipeline.profiles import Profiles


def rows_of(accepted: Accepted, hard: HardState) -> list[int]:
    """The rows of the events' users, in order; forgets in between whom the log and time say."""
    users = list(zip(accepted.partitions, accepted.users, strict=True))
    hard.cold.load([*users, *((each.partition, each.user) for each in accepted.erasures)])
    rows: list[int] = []
    # Sorting is stable: an erasure stands in the log before the event of an expiry at its place.
    forgettings: list[Erasure | Expiry] = [*accepted.erasures, *accepted.expiries]
    for each in sorted(forgettings, key=lambda each: each.place):
        rows += [hard.users.row(*user) for user in users[len(rows) : each.place]]
        if isinstance(each, Erasure):
            hard.erase(each.partition, each.user, each.offset, each.timestamp)
        else:
            newest = _newest(accepted, rows, each.partition)
            hard.expire(each.partition, each.limit, newest)
    return rows + [hard.users.row(*user) for user in users[len(rows) :]]


def _newest(accepted: Accepted, rows: list[int], partition: int) -> dict[int, int]:
    """The largest time of the events so far of each row in a partition."""
    newest: dict[int, int] = {}
    for row, time, at in zip(rows, accepted.times, accepted.partitions, strict=False):
        if at == partition:
            newest[row] = max(time, newest.get(row, time))
    return newest


def forget_erased(hard: HardState, profiles: Profiles) -> None:
    """What is known of erased users beside hard state goes, and theirs where it can."""
    for erased in hard.erased:
        profiles.forget(erased.user, erased.row)
    if hard.erased:
        forget_keys()
    hard.settle()


def receipts_of(hard: HardState, profiles: Profiles) -> list[Output]:
    """One record for each erasure, read off before what it forgets is overwritten."""
    settings, rings = hard.settings, hard.users.rings
    topics = settings.topics
    outputs = []
    for each in hard.erased:
        hashed = shown_hash(hash64(each.user))
        receipt = Receipt(
            user=hashed,
            source=SourcePosition(
                topic=topics.interactions, partition=each.partition, offset=each.offset
            ),
            ts=each.timestamp,
            interactions=int(rings.accepted[each.row]) if each.row >= 0 else 0,
            remembered=int(rings.length[each.row]) if each.row >= 0 else 0,
            profile=profiles.knows(each.user),
            retained=retaining_topics(settings),
        )
        value, headers = encode(receipt, settings.output.format)
        outputs.append(Output(topics.receipts, 0, receipt_key(hashed), value, headers))
    return outputs


def retaining_topics(settings: Settings) -> list[str]:
    """Topics whose records of the user only Kafka deletes, and that of profiles, by their owner."""
    topics = settings.topics
    answered = (topics.recommendations, topics.dead_letters_topic())
    return [topics.interactions, *answered, topics.tasks, topics.state, topics.users]
