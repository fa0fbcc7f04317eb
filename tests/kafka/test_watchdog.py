"""A group member that never settles ends its process."""

from __future__ import annotations

import pytest

from metarec_stream.errors import Fatal
from metarec_stream.kafka.watchdog import GroupWatchdog


def test_a_member_that_spins_while_joining_is_ended_after_20_seconds() -> None:
    """Not stable for more than 20 s, most of it on the CPU: the library hangs."""
    watchdog = GroupWatchdog("group", patience_s=300)
    watchdog.observe(stable=False, monotonic_s=100, process_s=5)
    watchdog.observe(stable=False, monotonic_s=119, process_s=24)
    with pytest.raises(Fatal, match="member of group group has been joining for 21 s"):
        watchdog.observe(stable=False, monotonic_s=121, process_s=26)


def test_a_member_that_waits_idly_has_until_its_patience_ends() -> None:
    """Another member may be replaying: the group waits for it."""
    watchdog = GroupWatchdog("group", patience_s=300)
    watchdog.observe(stable=False, monotonic_s=0, process_s=0)
    watchdog.observe(stable=False, monotonic_s=299, process_s=3)
    with pytest.raises(Fatal):
        watchdog.observe(stable=False, monotonic_s=301, process_s=3)


def test_a_member_that_settles_starts_anew() -> None:
    """Time spent settled does not count."""
    watchdog = GroupWatchdog("group", patience_s=300)
    watchdog.observe(stable=False, monotonic_s=0, process_s=0)
    watchdog.observe(stable=True, monotonic_s=10, process_s=10)
    watchdog.observe(stable=False, monotonic_s=1_000, process_s=900)
    watchdog.observe(stable=False, monotonic_s=1_019, process_s=919)
