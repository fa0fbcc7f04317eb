"""`metarec serve`: consume interactions, learn each user, publish recommendations."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from metarec_stream.config import Settings


def serve(*, settings: Annotated[Settings, Parameter(parse=False)]) -> int:
    """Consume interactions, learn each user, publish recommendations."""
    from metarec_stream.service.process import run_consumer

    return run_consumer(settings)
