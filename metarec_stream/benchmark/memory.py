"""How much memory this process has, and how much it had at most, as Linux counts it."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


class MemoryGrowth:
    """From where it was made to the largest amount since; None where the system does not tell."""

    def __init__(self) -> None:
        _give_back()
        self._whole_peak = _bytes_of("VmHWM")
        # Where it may not be reset, the growth comes out too large, never too small.
        with suppress(OSError):
            _CLEAR.write_text(_RESET_PEAK)
        self._before = _bytes_of("VmRSS")

    def grown(self) -> int | None:
        """Bytes of growth."""
        peak = _bytes_of("VmHWM")
        if peak is None or self._before is None:
            return None
        return max(0, peak - self._before)

    def peak(self) -> int | None:
        """The largest amount in the life of the process."""
        known = [each for each in (self._whole_peak, _bytes_of("VmHWM")) if each is not None]
        return max(known, default=None)


def _give_back() -> None:
    """Return what is free to the system, or a run that fits into it would seem to take nothing."""
    gc.collect()
    with suppress(OSError, AttributeError):  # only glibc can be asked to
        ctypes.CDLL(None).malloc_trim(0)


def _bytes_of(field: str) -> int | None:
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(found[0]) * 1_024 if found else None
