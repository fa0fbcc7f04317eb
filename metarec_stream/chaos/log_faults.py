"""Faults of the log: the broker killed, records nobody should have written, retention."""

from __future__ import annotations

import json
import signal
from typing import Any

from metarec_stream.chaos.fault import Fault
from metarec_stream.chaos.foreign_writes import (
    Written,
    cut_changelog,
    delete_input,
    header_of,
    users_of,
    version_records,
    write,
)
from metarec_stream.chaos.site import Site
from metarec_stream.datasets.synthetic import START_MS

_POISON_ROUNDS = 50
_DAY_MS = 86_400_000
_HALF_VERSION, _FALSE_VERSION, _CORRUPT_VERSION = 1_000_000, 1_000_001, 1_000_002
_AWAY_S, _DOWN_S = 60.0, 2.0
_BEYOND = 20
"""Records between a checkpoint and the committed offset that retention is to take."""


def _kill_broker(site: Site) -> None:
    _away(site, _DOWN_S)


def _broker_away(site: Site) -> None:
    _away(site, _AWAY_S)


def _away(site: Site, seconds: float) -> None:
    """How long the broker itself takes to start is no concern of the service's."""
    site.broker.kill()
    site.pause(seconds)
    site.broker.start_again()
    _all_harmed(site)


def _poison(site: Site) -> None:
    """Bad records, doubled and late ones, under the keys of users who also post good ones."""
    _all_harmed(site)
    records = [each for number in range(_POISON_ROUNDS) for each in _poisoned(site, number)]
    site.random.shuffle(records)
    write(site.settings, site.settings.topics.interactions, records)


def _poisoned(site: Site, number: int) -> list[Written]:
    user = f"u{site.random.randrange(400)}"
    twice = {"user": user, "item": "i1", "ts": START_MS + number, "event_id": f"twice-{number}"}
    bad: list[Written] = [
        (user.encode(), b"\x00\xff no interaction"),
        (user.encode(), b"{"),
        (user.encode(), None),
        (None, b""),
        _record({"item": "i1"}, user),
        _record({"user": user, "item": "i1", "ts": START_MS - 400 * _DAY_MS}, user),
        _record({"user": user, "item": "i1", "ts": START_MS + 9_999 * _DAY_MS}, user),
        _record({"user": user, "item": "x" * site.settings.guard.max_value_bytes}, user),
    ]
    earlier = {"user": user, "item": "i2", "ts": START_MS + site.random.randrange(_DAY_MS)}
    return [*bad, _record(twice, user), _record(twice, user), _record(earlier, user)]


def _record(content: dict[str, Any], user: str) -> Written:
    return user.encode(), json.dumps(content).encode()


def _corrupt_row(site: Site) -> None:
    _alter_row(site, b"\x93\x01 no row")


def _tombstone_row(site: Site) -> None:
    _alter_row(site, None)


def _alter_row(site: Site, value: bytes | None) -> None:
    """With its owner dead, so that whoever takes the partition over finds it altered."""
    partition = _checkpointed(site)
    keys = users_of(site.settings, partition)
    site.hit(site.fleet.member(site.victim).owned())
    site.fleet.signal(site.victim, signal.SIGKILL)
    write(site.settings, site.settings.topics.state, [(site.random.choice(keys), value)], partition)


def _half_version(site: Site) -> None:
    """One version without its manifest, and one whose manifest is another's."""
    site.hit(frozenset())
    whole = version_records(site.settings, _HALF_VERSION)
    false = version_records(site.settings, _FALSE_VERSION)
    broken = [(key, value[: len(value) // 2]) for key, value in false[:-1]]
    write(site.settings, site.settings.topics.meta, [*whole[:-1], *broken, false[-1]])


def _corrupt_version(site: Site) -> None:
    """One byte of it is another; its length and its manifest are right."""
    site.hit(frozenset())
    (key, chunk), *rest = version_records(site.settings, _CORRUPT_VERSION)
    at = site.random.randrange(len(chunk))
    altered = chunk[:at] + bytes([chunk[at] ^ 1]) + chunk[at + 1 :]
    write(site.settings, site.settings.topics.meta, [(key, altered), *rest])


def _cut_changelog(site: Site) -> None:
    partition = _checkpointed(site)
    site.hit(site.fleet.member(site.victim).owned())
    site.fleet.signal(site.victim, signal.SIGKILL)
    cut_changelog(site.settings, partition)


def _retention(site: Site) -> None:
    """What is gone was applied, committed and answered, and is in no checkpoint."""
    partition = _checkpointed(site)
    site.wait(lambda: _beyond_checkpoint(site, partition), "the group did not pass its checkpoint")
    below = _beyond_checkpoint(site, partition)
    site.hit(site.fleet.member(site.victim).owned())
    site.fleet.signal(site.victim, signal.SIGKILL)
    delete_input(site.settings, partition, below)


def _checkpointed(site: Site) -> int:
    """A partition of the victim, once it has a checkpoint."""
    owned = sorted(site.fleet.member(site.victim).owned())
    partition = site.random.choice(owned)
    site.wait(lambda: header_of(site.settings, partition), "no checkpoint came")
    return partition


def _beyond_checkpoint(site: Site, partition: int) -> int:
    """The committed offset, if it is well beyond that of the checkpoint; else 0."""
    header = header_of(site.settings, partition)
    committed = site.positions.progress_of(partition)
    return committed if header is not None and committed > header.offset + _BEYOND else 0


def _all_harmed(site: Site) -> None:
    site.hit(frozenset(range(site.settings.topics.partitions)))


POISON = Fault(
    "poison",
    f"{_POISON_ROUNDS * 11} records that are undecodable, incomplete, too large, too early, too "
    "late, doubled or out of order, among good ones",
    _poison,
)
KILL_BROKER = Fault(
    "kill-broker",
    f"SIGKILL to the broker, which is started again on its records after {_DOWN_S:g} s; the time "
    "counts from when it answers again",
    _kill_broker,
)
CORRUPT_ROW = Fault(
    "corrupt-row",
    "SIGKILL to a consumer, and one user's row in the changelog is overwritten by a stranger",
    _corrupt_row,
)
TOMBSTONE_ROW = Fault(
    "tombstone-row",
    "SIGKILL to a consumer, and one user's row in the changelog is deleted by a stranger",
    _tombstone_row,
)
HALF_VERSION = Fault(
    "half-version",
    "a meta version without its manifest, and one that is cut short, on the meta topic",
    _half_version,
)
CORRUPT_VERSION = Fault(
    "corrupt-version",
    "a meta version with one bit that is another, on the meta topic",
    _corrupt_version,
)
CUT_CHANGELOG = Fault(
    "cut-changelog",
    "SIGKILL to a consumer, and a partition's changelog is deleted up to its newest header",
    _cut_changelog,
)
RETENTION = Fault(
    "retention",
    "SIGKILL to a consumer, and the input is deleted beyond a partition's checkpoint",
    _retention,
    expected="degraded",
)
BROKER_AWAY = Fault(
    "broker-away",
    f"SIGKILL to the broker, which is away for {_AWAY_S:g} s; the time counts from when it answers "
    "again",
    _broker_away,
    load_s=_AWAY_S + 20,
)
