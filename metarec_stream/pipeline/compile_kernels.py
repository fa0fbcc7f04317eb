"""Compile everything that a batch runs into numba's cache, in one process.

`python -m metarec_stream.pipeline.compile_kernels` does it ahead of the first start. A process that
finds nothing compiled runs the same before it compiles anything itself.
"""

from __future__ import annotations

import sys
import time

import structlog
from prometheus_client import CollectorRegistry

from metarec_stream.clock import SystemClock
from metarec_stream.compiled import compile_batch_once
from metarec_stream.config import Settings
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.recommender import Recommender

log = structlog.get_logger()


ALL_OF_IT = (sys.executable, "-m", "metarec_stream.pipeline.compile_kernels", "here")


def see_to_kernels() -> None:
    """Have everything that a batch runs compiled, by another process, unless it is."""
    compile_batch_once(ALL_OF_IT)


def compile_here() -> None:
    """Compile with the default settings: the types of arrays do not depend on the others."""
    started = time.monotonic()
    metrics = ConsumerMetrics(CollectorRegistry())
    Recommender(Settings(), metrics, SystemClock()).warm_up()
    log.info("kernels_compiled", seconds=round(time.monotonic() - started, 1))


if __name__ == "__main__":
    compile_here() if sys.argv[1:] == ["here"] else see_to_kernels()
