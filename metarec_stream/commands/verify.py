"""`metarec verify`: replay the input and compare everything that the service wrote with it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import structlog
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from metarec_stream.clock import SystemClock
from metarec_stream.config import Settings
from metarec_stream.settings_sources import BadConfiguration
from metarec_stream.verify.certificate import Certificate
from metarec_stream.verify.kafka_log import KafkaLog
from metarec_stream.verify.presentation import WIDTH, as_table, write_json
from metarec_stream.verify.verification import Verification

CERTIFIED, DIFFERENT, DEGRADED = 0, 1, 3

log = structlog.get_logger()


def verify(
    *,
    json: Path | None = None,
    partition: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    show_users: Annotated[bool, Parameter(negative="")] = False,
    settings: Annotated[Settings, Parameter(parse=False)],
) -> int:
    """Replay the input and compare the state, the counts, the answers and the dead letters with it.

    Give it the service's own settings. The service may run: what it has committed at the start is
    compared. Status 0: certified; 1: something differs, the first of it is named; 3: nothing
    differs and not everything could be compared, for instance because retention took it.

    Parameters
    ----------
    json
        Also write the certificate to this file.
    partition
        Only this partition; may be given several times.
    show_users
        Name users in clear where they differ, not by a hash.
    """
    with closing(KafkaLog(settings)) as logged, _bar() as bar:
        if absent := [number for number in partition if number not in range(logged.partitions)]:
            raise BadConfiguration(
                f"--partition {absent[0]}: {settings.topics.interactions} has "
                f"{logged.partitions} partitions, from 0"
            )
        task = bar.add_task("verify", total=None)
        verification = Verification(
            settings, logged, SystemClock(), lambda more: bar.advance(task, more),
            show_users=show_users,
        )  # fmt: skip
        bar.update(task, total=verification.offsets(partition))
        certificate = verification.certificate(partition)
    if json is not None:
        write_json(certificate, json)
    console = Console()
    (console if console.is_terminal else Console(width=WIDTH)).print(as_table(certificate))
    return _told(certificate)


def _told(certificate: Certificate) -> int:
    """The exit status; one line of log says why it is not 0."""
    difference = certificate.first_difference
    if difference is not None:
        count = sum(
            len(each.differences) + each.differences_more for each in certificate.partitions
        )
        log.error("verify_found_a_difference", first=str(difference), differences=count)
        return DIFFERENT
    for text in certificate.degraded:
        log.warning("verify_is_degraded", reason=text)
    return DEGRADED if certificate.degraded else CERTIFIED


def _bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("offsets"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
