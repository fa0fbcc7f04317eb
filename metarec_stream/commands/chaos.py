"""`metarec chaos`: harm a running service on purpose, and verify what it wrote."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le
from cyclopts import Parameter
from cyclopts.types import PositiveFloat
from rich.console import Console

from metarec_stream.config import Settings

WIDTH = 120
SHOWN = (
    "kafka.guarantee", "kafka.session_timeout_ms", "kafka.transaction_timeout_ms",
    "topics.partitions", "state.checkpoint_every_s", "batch.max_records",
)  # fmt: skip


def chaos(
    *,
    events: Annotated[int, Ge(1_000)] = 5_000,
    seconds: PositiveFloat = 20.0,
    consumers: Annotated[int, Ge(2)] = 3,
    learners: Annotated[int, Ge(0), Le(1)] = 1,
    faults: Annotated[str, Parameter(negative="")] = "all",
    results: Path | None = None,
    docs: Path | None = None,
    settings: Annotated[Settings, Parameter(parse=False)],
) -> int:
    """Harm consumers, learner, broker and topics while events are posted; verify after each fault.

    Starts an embedded broker and, for each fault, consumers, a learner and topics of its own.
    What is drawn, victims, passes of crash points and events, is drawn from `--seed`: the same
    seed, the same plan.
    Nothing is left behind. Status 1 if one outcome is not the expected one.

    Parameters
    ----------
    events
        How many are posted for each fault: of all faults, more than 100,000.
    seconds
        How long posting them takes; a fault that takes longer gets more events at the same rate.
    consumers
        How many share the partitions.
    learners
        1, or 0 for a run that is over sooner, without the faults of the learner.
    faults
        Their names, separated by commas; `all`: every one, half an hour; `short`: without those
        that take minutes.
    results
        Keep the processes' logs, the certificates and the outcomes in this folder. A fault whose
        outcome is there already, from the same code, settings and seed, is not done again.
    docs
        Write the fault matrix, a page and JSON, to this folder.
    """
    from metarec_stream.chaos.broker import broker_version
    from metarec_stream.chaos.outcome import Outcome
    from metarec_stream.chaos.plan import plan_of
    from metarec_stream.chaos.registry import FAULTS
    from metarec_stream.chaos.report import Report, as_table, cells, write
    from metarec_stream.chaos.run import run
    from metarec_stream.chaos.trial import Scale

    plan = plan_of(FAULTS, faults.split(","), consumers, settings.seed)
    scale = Scale(events=events, seconds=seconds, consumers=consumers, learners=learners)
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    report = Report(
        command=" ".join(["metarec", *sys.argv[1:]]),
        seed=settings.seed,
        device=_device(),
        broker=broker_version(),
        settings={name: _value(settings, name) for name in SHOWN},
        plan=plan,
        outcomes=[],
    )

    def on_outcome(outcome: Outcome) -> None:
        say(f"{' | '.join(cells(outcome))} ({outcome.seconds:g} s)")
        report.outcomes.append(outcome)
        # A run that is interrupted leaves the rows that it has.
        if docs is not None:
            write(report, docs)

    run(settings, plan, scale, results, say, on_outcome)
    console.print(as_table(report.outcomes))
    return 0 if all(outcome.as_expected for outcome in report.outcomes) else 1


def _value(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _device() -> str:
    from metarec_stream.benchmark.measurement import device

    return f"{device()}, {platform.system()}"
