"""Settings of the processes: their HTTP port and their logs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from metarec_stream.section import Section


class HttpSettings(Section):
    """Metrics and health over HTTP; nothing served there changes state."""

    host: str = "127.0.0.1"
    """Address that is bound."""
    port: int = Field(9464, ge=0, le=65_535)
    """Port of `metarec serve`; 0 takes a free one and logs it."""
    learner_port: int = Field(9465, ge=0, le=65_535)
    """Port of `metarec learn`; 0 takes a free one and logs it."""


class LogSettings(Section):
    """Structured logs, one line an event, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is written; user ids appear at `debug` only."""
    format: Literal["text", "json"] = "text"
    """Human-readable lines, or JSON."""


class DataSettings(Section):
    """Where benchmarks find data that may not be shipped."""

    dir: str | None = None
    """Folder of the public data sets."""


class ServiceSettings(Section):
    """How the consumer's process ends."""

    grace_s: float = Field(25.0, gt=0, le=3_600)
    """After SIGTERM the process finishes its batch, checkpoints, commits and leaves; what takes
    longer than this is cut short, as a crash would. Keep it below the supervisor's own limit."""
