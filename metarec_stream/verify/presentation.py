"""The certificate as a table for people, and as JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.table import Table

from metarec_stream.errors import Fatal
from metarec_stream.verify.certificate import Certificate, Found

WIDTH = 120
"""Columns of what is printed where there is no terminal."""
HEADINGS = (
    "partition", "offset", "accepted", "rejected", "duplicates", "state at", "users", "digest",
    "answers", "dead letters", "verdict",
)  # fmt: skip


def as_table(certificate: Certificate) -> Table:
    """One row for each partition."""
    table = Table(
        title=f"{certificate.verdict}: {certificate.interactions}, group {certificate.group}, "
        f"{certificate.emit}, {certificate.guarantee}"
    )
    for heading in HEADINGS:
        text = heading in ("digest", "verdict")
        table.add_column(heading, justify="left" if text else "right")
    for found in certificate.partitions:
        table.add_row(*_cells(found))
    return table


def write_json(certificate: Certificate, path: Path) -> None:
    """The certificate as a file; raises Fatal if it cannot be written."""
    content = msgspec.json.format(msgspec.json.encode(certificate), indent=2)
    try:
        path.write_bytes(content + b"\n")
    except OSError as error:
        raise Fatal(
            f"the certificate cannot be written to {path} ({error.strerror}): name another file "
            "with --json"
        ) from error


def _cells(found: Found) -> tuple[str, ...]:
    state = "-" if found.state_offset is None else f"{found.state_offset:,}"
    return (
        str(found.partition),
        f"{found.committed:,}",
        f"{found.accepted:,}",
        f"{found.rejected:,}",
        f"{found.duplicates:,}",
        state,
        f"{found.users:,}",
        found.digest[:8] or "-",
        f"{found.answers:,}",
        f"{found.dead_letters:,}",
        found.verdict,
    )
