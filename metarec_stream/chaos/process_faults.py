"""Faults of processes: killed, stopped, asked to end, added and removed."""

from __future__ import annotations

import signal
import time
from functools import partial

from metarec_stream.chaos.fault import Fault
from metarec_stream.chaos.fleet import LEARNER, Ending, consumer
from metarec_stream.chaos.foreign_writes import publish_version
from metarec_stream.chaos.site import Site
from metarec_stream.errors import Fatal

_EXTRA = 9
_FOREIGN_VERSION = 1_000_000
_BATCH_POINTS = (
    ("after-poll", (20, 60)),
    ("after-adapt", (20, 60)),
    ("after-send-offsets", (20, 60)),
    ("before-send", (300, 900)),
    ("after-send", (300, 900)),
    ("in-checkpoint", (1, 3)),
    ("before-commit", (20, 60)),
    ("after-commit", (20, 60)),
)
_REPEATED_S, _EVERY_S = 120.0, 4.0
_CALM_MS = 60_000
"""Session timeout for restarts that nobody is to notice."""


def _kill_consumer(site: Site) -> None:
    site.hit(site.fleet.member(site.victim).owned())
    site.fleet.signal(site.victim, signal.SIGKILL)


def _kill_learner(site: Site) -> None:
    site.hit(frozenset())
    site.fleet.signal(LEARNER, signal.SIGKILL)
    site.wait(lambda: _ending_of(site, LEARNER), "the learner did not end")
    site.wait(
        lambda: site.fleet.member(LEARNER).waits_for() is None, "the learner did not come back"
    )


def _crash(site: Site) -> None:
    """The victim has its crash point since it was started."""
    site.wait(lambda: _ending_of(site, site.victim), "the crash point was not passed", 60.0)
    ending = _ending_of(site, site.victim)
    if ending is not None:
        site.hit(ending.owned, ending.at)


def _crash_in_restore(site: Site) -> None:
    """The victim, which has its crash point since it was started, is all that is left."""
    others = [each.name for each in site.fleet.consumers() if each.name != site.victim]
    site.hit(frozenset(range(site.settings.topics.partitions)))
    for name in others:
        site.fleet.signal(name, signal.SIGKILL)
    site.wait(lambda: _ending_of(site, site.victim), "the victim restored no partition")


def _crash_in_swap(site: Site) -> None:
    """The victim has its crash point since it was started; now there is a version to take up."""
    publish_version(site.settings, _FOREIGN_VERSION)
    _crash(site)


def _zombie(site: Site) -> None:
    victim = site.victim
    harmed = site.fleet.member(victim).owned()
    site.hit(harmed)
    site.fleet.signal(victim, signal.SIGSTOP)
    try:
        site.wait(
            lambda: harmed <= site.fleet.owned_by_others(victim), "nobody took its partitions over"
        )
        site.pause(1.0)
    finally:
        site.fleet.signal(victim, signal.SIGCONT)


def _restart(site: Site) -> None:
    site.hit(site.fleet.member(site.victim).owned())
    site.fleet.signal(site.victim, signal.SIGTERM)
    site.wait(lambda: _ending_of(site, site.victim), "it did not end at SIGTERM")


def _rolling_restart(site: Site) -> None:
    """One after the other; each is to find its own partitions again, and nobody else's."""
    site.hit(frozenset(range(site.settings.topics.partitions)))
    for name in [each.name for each in site.fleet.consumers()]:
        before = site.fleet.member(name).owned()
        site.fleet.signal(name, signal.SIGTERM)
        site.wait(partial(_ending_of, site, name), f"{name} did not end at SIGTERM")
        site.wait(lambda: site.fleet.not_ready() is None, f"{name} did not come back")
        after = site.fleet.member(name).owned()
        if after != before or site.fleet.owned_by_others(name) & before:
            raise Fatal(f"{name} had partitions {sorted(before)} and came back to {sorted(after)}")


def _add_and_remove(site: Site) -> None:
    site.hit(site.fleet.member(site.victim).owned())
    added = (consumer(_EXTRA), consumer(_EXTRA + 1))
    for name in added:
        site.fleet.start(name)
    site.wait(lambda: site.fleet.not_ready() is None, "the added consumers were not ready")
    for name in added:
        site.fleet.remove(name)


def _kill_repeatedly(site: Site) -> None:
    consumers = [each.name for each in site.fleet.consumers()]
    site.hit(frozenset(range(site.settings.topics.partitions)))
    until = time.monotonic() + _REPEATED_S
    while time.monotonic() < until:
        site.fleet.signal(site.random.choice(consumers), signal.SIGKILL)
        site.pause(_EVERY_S)


def _ending_of(site: Site, name: str) -> Ending | None:
    return next((each for each in site.fleet.endings if each.name == name), None)


KILL = Fault("kill", "SIGKILL to a consumer; it is started again", _kill_consumer)
CRASHES = (
    *(
        Fault(
            f"crash-{point}",
            f"a consumer kills itself at `{point}`; it is started again",
            _crash,
            crash_point=point,
            passes=passes,
        )
        for point, passes in _BATCH_POINTS
    ),
    Fault(
        "crash-in-restore",
        "SIGKILL to all consumers but one, which takes over and kills itself at `in-restore`",
        _crash_in_restore,
        crash_point="in-restore",
    ),
    Fault(
        "crash-in-swap",
        "a stranger publishes a meta version, at which the learner ends and starts again from it, "
        "and a consumer kills itself at `in-swap`",
        _crash_in_swap,
        crash_point="in-swap",
    ),
)
ZOMBIE = Fault(
    "zombie",
    "SIGSTOP to a consumer until others have its partitions, then SIGCONT",
    _zombie,
)
RESTART = Fault("restart", "SIGTERM to a consumer; it is started again", _restart)
ROLLING_RESTART = Fault(
    "rolling-restart",
    "SIGTERM to one consumer after the other, all with an `instance_id`; no partition moves",
    _rolling_restart,
    environment={
        "METAREC_INSTANCE_ID": "{name}",
        "METAREC_KAFKA__SESSION_TIMEOUT_MS": str(_CALM_MS),
    },
    load_s=60.0,
)
ADD_AND_REMOVE = Fault(
    "add-remove", "two further consumers join, and leave by SIGTERM", _add_and_remove
)
KILL_LEARNER = Fault("kill-learner", "SIGKILL to the learner; it is started again", _kill_learner)
KILL_REPEATEDLY = Fault(
    "repeated-kills",
    f"SIGKILL to a consumer every {_EVERY_S:g} s for {_REPEATED_S:g} s; each is started again",
    _kill_repeatedly,
    load_s=_REPEATED_S,
)
