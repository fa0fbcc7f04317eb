"""The models that can be evaluated, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from metarec_stream.config import Settings
from metarec_stream.evaluate.controls.control import Control
from metarec_stream.evaluate.controls.isgd import isgd
from metarec_stream.evaluate.controls.itemknn import itemknn
from metarec_stream.evaluate.controls.last import last
from metarec_stream.evaluate.controls.markov import markov
from metarec_stream.evaluate.controls.popularity import popularity
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.metrics import RankedEvents, report
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Stream, stream_of
from metarec_stream.settings_sources import BadConfiguration

DEFAULT = "default"
CONTROLS: dict[str, Control] = {
    "popularity": popularity,
    "last": last,
    "markov": markov,
    "itemknn": itemknn,
    "isgd": isgd,
}
MODELS = (DEFAULT, *CONTROLS)

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is evaluated, and how."""

    table: EventTable
    protocol: Protocol
    settings: Settings
    outer_every: int


def chosen_models(names: str) -> list[str]:
    """The models of a comma-separated list; raises BadConfiguration for one that there is not."""
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in chosen if name not in MODELS]
    if unknown or not chosen:
        raise BadConfiguration(f"--models {names}: there are {', '.join(MODELS)}")
    return chosen


def evaluate_models(
    evaluation: Evaluation, names: Sequence[str], progress: Progress
) -> dict[str, object]:
    """The result as it is written to JSON: dataset, protocol, and each model's measures.

    progress: called with a model's name and the events it has done.
    """
    table, protocol = evaluation.table, evaluation.protocol
    stream = stream_of(table, evaluation.settings.events.table())
    models = {}
    for name in names:
        ranked = _run(name, evaluation, stream, progress)
        progress(name, len(stream))
        models[name] = report(ranked, stream, protocol)
    return {
        "dataset": {
            "events": len(stream),
            "users": len(stream.user_ids),
            "items": len(stream.item_ids),
        },
        "protocol": {
            **asdict(protocol),
            "outer_every": evaluation.outer_every,
            "seed": evaluation.settings.seed,
        },
        "models": models,
    }


def _run(name: str, evaluation: Evaluation, stream: Stream, progress: Progress) -> RankedEvents:
    settings, protocol = evaluation.settings, evaluation.protocol
    if name in CONTROLS:
        return CONTROLS[name](stream, protocol, settings.seed)
    # Only the default needs the learner, hence torch, which is an extra.
    from metarec_stream.evaluate.prequential import Pace, replay_stream

    pace = Pace(evaluation.outer_every, lambda done: progress(name, done))
    return replay_stream(evaluation.table, stream, protocol, settings, pace)
