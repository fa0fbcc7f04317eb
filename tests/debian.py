"""Programs that some tests need and that come from Debian packages, not from Python's."""

from __future__ import annotations

import shutil

import pytest

PACKAGES = {
    "kcat": "kcat",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "promtool": "prometheus",
}


def needs(program: str) -> pytest.MarkDecorator:
    """Skip the test, naming the package, where the program is not installed."""
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"needs the Debian package {PACKAGES[program]}"
    )


def missing_programs() -> list[str]:
    """Packages whose programs are not installed."""
    return sorted({PACKAGES[program] for program in PACKAGES if shutil.which(program) is None})
