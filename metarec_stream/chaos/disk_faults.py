"""Faults of the local disk: it cannot be written for a while."""

from __future__ import annotations

import resource

from metarec_stream.chaos.fault import Fault
from metarec_stream.chaos.site import Site

_HOT_USERS = 20
_CHECKPOINT_EVERY_S = 0.5
_FULL_S = 2.0
_ROOM_BYTES = 32 << 10
"""For what the process itself logs while its disk is full."""
NOT_WRITTEN, WRITTEN_AGAIN = "cold_users_not_written", "cold_users_written_again"


def _full_disk(site: Site) -> None:
    """No file of the victim's can grow beyond a little more than its log; what it has stays.

    A limit of the process stands for a full disk, which nobody can have without being root: writes
    fail in the same calls, with another error number (setrlimit(2), EFBIG).
    """
    victim = site.fleet.member(site.victim)
    site.hit(victim.owned())
    pid = victim.child.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    limit = victim.log.stat().st_size + _ROOM_BYTES
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        site.wait(lambda: victim.said(NOT_WRITTEN), "nothing was to be written to the disk")
        site.pause(_FULL_S)
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    site.wait(lambda: victim.said(WRITTEN_AGAIN), "what was missed was not written")


FULL_DISK = Fault(
    "full-disk",
    f"a consumer with room for {_HOT_USERS} users in memory cannot write its disk for "
    f"{_FULL_S:g} s, and keeps them in memory",
    _full_disk,
    environment={
        "METAREC_STATE__MAX_HOT_USERS": str(_HOT_USERS),
        "METAREC_STATE__CHECKPOINT_EVERY_S": str(_CHECKPOINT_EVERY_S),
    },
)
