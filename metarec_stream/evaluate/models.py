"""The models that can be evaluated, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from metarec_stream.config import Settings
from metarec_stream.evaluate.beforehand import NOTHING, Beforehand
from metarec_stream.evaluate.controls.control import Control
from metarec_stream.evaluate.controls.deferred import deferred
from metarec_stream.evaluate.controls.ease import ease
from metarec_stream.evaluate.controls.isgd import isgd
from metarec_stream.evaluate.controls.itemknn import itemknn
from metarec_stream.evaluate.controls.last import last
from metarec_stream.evaluate.controls.markov import markov
from metarec_stream.evaluate.controls.popularity import popularity
from metarec_stream.evaluate.controls.sessionknn import sessionknn
from metarec_stream.evaluate.controls.together import run_control
from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.metrics import RankedEvents, report
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import Questions, Stream, stream_of
from metarec_stream.pipeline.ablation import PARTS
from metarec_stream.settings_sources import BadConfiguration

DEFAULT = "default"
CONTROLS: dict[str, Control] = {
    "popularity": popularity,
    "last": last,
    "markov": markov,
    "itemknn": itemknn,
    "sessionknn": sessionknn,
    "ease": ease,
    "ials": deferred("ials"),
    "isgd": isgd,
    "river-mf": deferred("river_mf"),
    "gru4rec": deferred("gru4rec"),
    "sasrec": deferred("sasrec"),
}
ABLATIONS = tuple(f"{DEFAULT}-without-{part}" for part in PARTS)
MODELS = (DEFAULT, *CONTROLS, *ABLATIONS)

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is evaluated, and how."""

    table: EventTable
    protocol: Protocol
    settings: Settings
    outer_every: int
    questions: Questions | None = None
    """What the protocol alone does not say of the table's rows."""
    beforehand: Beforehand = NOTHING
    """What the default knows of items and users; controls know of interactions alone."""


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
    stream = stream_of(table, evaluation.settings.events.table(), evaluation.questions)
    models = {}
    for name in names:
        ranked = run_model(name, evaluation, stream, progress)
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


def run_model(
    name: str, evaluation: Evaluation, stream: Stream, progress: Progress
) -> RankedEvents:
    """What a model makes of the stream; progress as for `evaluate_models`."""
    settings, protocol = evaluation.settings, evaluation.protocol
    if name in CONTROLS:
        return run_control(CONTROLS[name], stream, protocol, settings.seed)
    # Only the default needs the learner, hence torch, which is an extra.
    from metarec_stream.evaluate.prequential import Pace, replay_stream

    pace = Pace(evaluation.outer_every, lambda done: progress(name, done))
    without = frozenset(() if name == DEFAULT else (name.removeprefix(f"{DEFAULT}-without-"),))
    table, beforehand = evaluation.table, evaluation.beforehand
    return replay_stream(table, stream, protocol, settings, pace, without, beforehand)
