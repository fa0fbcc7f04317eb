"""Compile everything that a batch runs into numba's cache, ahead of the first start.

`python -m metarec_stream.pipeline.compile_kernels`; a service compiles what it does not find.
"""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry

from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.recommender import Recommender


def main() -> None:
    """Compile with the default settings: the types of arrays do not depend on the others."""
    started = time.monotonic()
    metrics = ConsumerMetrics(CollectorRegistry())
    Recommender(Settings(), metrics, SystemClock()).warm_up()
    print(f"kernels compiled in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
