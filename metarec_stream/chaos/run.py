"""All planned faults, one after the other, on one embedded broker; nothing is left behind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from metarec_stream.chaos.broker import KillableBroker
from metarec_stream.chaos.outcome import Outcome
from metarec_stream.chaos.plan import Planned
from metarec_stream.chaos.registry import FAULTS
from metarec_stream.chaos.trial import Scale, Trial
from metarec_stream.config import Settings
from metarec_stream.demo.interruption import Interruption
from metarec_stream.demo.topics import delete_topics

OnOutcome = Callable[[Outcome], None]


def run(
    settings: Settings,
    plan: Sequence[Planned],
    scale: Scale,
    results: Path | None,
    say: Callable[[str], None],
    on_outcome: OnOutcome,
) -> None:
    """Each outcome goes to `on_outcome`, in the plan's order.

    `results`: logs and certificates stay there, a folder a fault. Raises Fatal if the broker does
    not start, and KeyboardInterrupt once everything is ended.
    """
    with Interruption() as interruption, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="metarec-chaos-")))

        def progress(text: str) -> None:
            interruption.check()
            say(text)

        with interruption.allowed():
            broker = stack.enter_context(KillableBroker(folder / "broker", progress))
            for planned in plan:
                _one(settings, broker, planned, scale, results or folder, progress, on_outcome)


def _one(
    settings: Settings,
    broker: KillableBroker,
    planned: Planned,
    scale: Scale,
    folder: Path,
    say: Callable[[str], None],
    on_outcome: OnOutcome,
) -> None:
    own = folder / planned.fault
    own.mkdir(parents=True, exist_ok=True)
    fault = FAULTS[planned.fault]
    trial = Trial(
        settings, broker, fault, planned, scale, own, lambda text: say(f"{fault.name}: {text}")
    )
    on_outcome(trial.outcome())
    delete_topics(trial.settings)
