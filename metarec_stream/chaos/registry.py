"""All faults by name, in the order of the matrix."""

from __future__ import annotations

from metarec_stream.chaos import disk_faults, log_faults, process_faults, time_faults

_ORDERED = (
    process_faults.KILL,
    *process_faults.CRASHES,
    process_faults.ZOMBIE,
    process_faults.RESTART,
    process_faults.ROLLING_RESTART,
    process_faults.ADD_AND_REMOVE,
    log_faults.POISON,
    time_faults.DISORDER,
    time_faults.CLOCK_JUMPS,
    disk_faults.FULL_DISK,
    log_faults.KILL_BROKER,
    process_faults.KILL_LEARNER,
    log_faults.CORRUPT_ROW,
    log_faults.TOMBSTONE_ROW,
    log_faults.CUT_CHANGELOG,
    log_faults.HALF_VERSION,
    log_faults.CORRUPT_VERSION,
    log_faults.RETENTION,
    process_faults.KILL_REPEATEDLY,
    log_faults.BROKER_AWAY,
)
FAULTS = {fault.name: fault for fault in _ORDERED}
