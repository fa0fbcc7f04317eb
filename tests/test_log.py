"""The log's rendering."""

from __future__ import annotations

import subprocess
import sys

import pytest

CANARY = "canary-31c9"
FAILS = """
import logging
from metarec_stream.log import configure_logging
from metarec_stream.service.settings import LogSettings

def connect(sasl_plain_password):
    configuration = {"password": sasl_plain_password}
    raise ValueError("refused")

configure_logging(LogSettings(level="debug", format="FORMAT"))
try:
    connect("-".join(["canary", "31c9"]))
except ValueError:
    logging.getLogger("kafka").exception("failed")
"""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_has_no_values_of_variables(log_format: str) -> None:
    """A library's frame may hold a password: where it failed is logged, what it held is not."""
    done = subprocess.run(
        [sys.executable, "-c", FAILS.replace("FORMAT", log_format)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "refused" in done.stderr
    assert "connect" in done.stderr
    assert CANARY not in done.stderr
