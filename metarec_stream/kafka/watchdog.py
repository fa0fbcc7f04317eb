"""The watchdog of a group member that never settles."""

from __future__ import annotations

from metarec_stream.errors import Fatal


class GroupWatchdog:
    """Ends a process whose group member hangs in a rebalance.

    kafka-python can stay in rebalancing at high CPU for ever: the way we know is mended in
    `source`, this is for those we do not. A member that waits for another one to finish its work
    is idle, and has until `patience_s`.
    """

    SPIN_S = 20.0
    SPIN_SHARE = 0.5

    def __init__(self, group: str, patience_s: float) -> None:
        self._group = group
        self._patience_s = patience_s
        self._since: tuple[float, float] | None = None

    def observe(self, stable: bool, monotonic_s: float, process_s: float) -> None:
        """Note whether the member is settled, at a time and at the process's CPU seconds until
        then; raises Fatal when it has not been for too long.
        """
        if stable:
            self._since = None
            return
        if self._since is None:
            self._since = (monotonic_s, process_s)
            return
        waited = monotonic_s - self._since[0]
        used = process_s - self._since[1]
        spinning = waited > self.SPIN_S and used > self.SPIN_SHARE * waited
        if spinning or waited > self._patience_s:
            raise Fatal(
                f"this member of group {self._group} has been joining for {waited:.0f} s "
                f"({used:.0f} s of CPU) without getting its partitions: start this process again; "
                "if it stays so, look at the group's other members"
            )
