"""Compile everything that a batch runs into numba's cache, ahead of the first start.

`python -m metarec_stream.pipeline.compile_kernels`; a service compiles what it does not find.
"""

from __future__ import annotations

import time

import structlog
from prometheus_client import CollectorRegistry

from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.recommender import Recommender

log = structlog.get_logger()


def main() -> None:
    """Compile with the default settings: the types of arrays do not depend on the others."""
    started = time.monotonic()
    metrics = ConsumerMetrics(CollectorRegistry())
    Recommender(Settings(), metrics, SystemClock()).warm_up()
    log.info("kernels_compiled", seconds=round(time.monotonic() - started, 1))


if __name__ == "__main__":
    main()
