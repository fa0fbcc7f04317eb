"""For the whole suite: in CI, tests that need a Debian package may not be skipped."""

from __future__ import annotations

import os

import pytest

from tests.debian import missing_programs


def pytest_configure() -> None:
    """Refuse to start where REQUIRE_DEBIAN_PACKAGES is set and a program is not installed."""
    missing = missing_programs()
    if os.environ.get("REQUIRE_DEBIAN_PACKAGES") and missing:
        raise pytest.UsageError(f"Debian packages are missing: apt-get install {' '.join(missing)}")
