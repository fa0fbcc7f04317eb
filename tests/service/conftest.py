"""What tests of running services share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.test_serve import Serve


@pytest.fixture
def started() -> Iterator[list[Serve]]:
    """Processes that a test starts; none is left behind."""
    running: list[Serve] = []
    yield running
    for serve in running:
        serve.process.kill()
        serve.process.wait(timeout=10)
