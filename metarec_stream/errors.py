"""The three classes of error: the record's fault, a service that goes on with less, the end."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a record was rejected: the value of the dead letter's `metarec-reason` header."""

    UNDECODABLE = "undecodable"
    INVALID = "invalid"
    TOO_LARGE = "too-large"
    LATE = "late"
    FUTURE = "future"
    UNSUPPORTED_VERSION = "unsupported-version"
    SUSPICIOUS = "suspicious"


class MetarecError(Exception):
    """Base of the three classes; never raised itself."""


class Rejected(MetarecError):
    """The record's fault: it becomes a dead letter with this reason and the stream goes on."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class Degraded(MetarecError):
    """The service goes on with less, and says so in a metric and in readiness."""


class Fatal(MetarecError):
    """The process must end with a non-zero status and be started again.

    The message says what happened, where, and what the operator does now.
    """
