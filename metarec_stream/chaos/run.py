"""All planned faults, one after the other, on one embedded broker; nothing is left behind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from metarec_stream.chaos.broker import KillableBroker
from metarec_stream.chaos.kept import KeptOutcomes
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

    `results`: logs, certificates and outcomes stay there, a folder a fault; an outcome that is
    there from a run of the same code under the same conditions is taken as it is. Raises Fatal if
    the broker does not start, and KeyboardInterrupt once everything is ended.
    """
    with Interruption() as interruption, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="metarec-chaos-")))

        def progress(text: str) -> None:
            interruption.check()
            say(text)

        with interruption.allowed():
            broker = stack.enter_context(KillableBroker(folder / "broker", progress))
            kept = KeptOutcomes(results or folder, _conditions(settings, scale))
            for planned in plan:
                outcome = kept.find(planned)
                if outcome is None:
                    outcome = _one(settings, broker, planned, scale, results or folder, progress)
                    kept.keep(planned, outcome)
                on_outcome(outcome)


def _one(
    settings: Settings,
    broker: KillableBroker,
    planned: Planned,
    scale: Scale,
    folder: Path,
    say: Callable[[str], None],
) -> Outcome:
    own = folder / planned.fault
    own.mkdir(parents=True, exist_ok=True)
    fault = FAULTS[planned.fault]
    trial = Trial(
        settings, broker, fault, planned, scale, own, lambda text: say(f"{fault.name}: {text}")
    )
    outcome = trial.outcome()
    delete_topics(trial.settings)
    return outcome


def _conditions(settings: Settings, scale: Scale) -> dict[str, Any]:
    """What outcomes depend on beside the code and the plan; not where the log goes."""
    shown = settings.model_dump(mode="json", exclude={"log", "http"})
    return {"settings": shown, "scale": msgspec.to_builtins(scale)}
