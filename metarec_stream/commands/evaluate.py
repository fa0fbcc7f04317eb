"""`metarec evaluate`: a file through the service without Kafka, predicted before it is learned."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Le
from cyclopts import Parameter

from metarec_stream.config import Settings
from metarec_stream.errors import Fatal

if TYPE_CHECKING:
    from rich.progress import TaskID

    from metarec_stream.evaluate.dataset import EventTable, TimeUnit

MADE_UP = Path("synthetic")


def evaluate(
    events: Path,
    *,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    time_unit: Literal["s", "ms", "us", "ns"] = "s",
    type_: Annotated[str | None, Parameter(name="--type")] = None,
    value: str | None = None,
    items: Path | None = None,
    profiles: Path | None = None,
    score_from: Annotated[float, Ge(0), Le(1)] = 0.5,
    candidates: Literal["seen", "all"] = "seen",
    repeats: Literal["include", "mask"] = "include",
    negatives: Annotated[int, Ge(0)] = 0,
    ties: Literal["mid", "pessimistic"] = "mid",
    models: str = "default,popularity",
    outer_every: Annotated[int, Ge(1), Le(100_000)] = 2_048,
    limit: Annotated[int | None, Ge(1)] = None,
    json_path: Annotated[Path | None, Parameter(name="--json")] = None,
    settings: Annotated[Settings, Parameter(parse=False)],
) -> int:
    """Replay a file of events: each is predicted, scored, then learned; learning never stops.

    All settings apply, `--seed S` among them.

    Parameters
    ----------
    events
        A .parquet, .csv or .jsonl file, one event a row, its columns named by the flags below; or
        `synthetic`: users whose tastes change, made up as `--synthetic.events` and the settings
        beside it say.
    user
        Column of the user id.
    item
        Column of the item id.
    time
        Column of the event time: numbers, dates or ISO 8601 texts.
    time_unit
        Unit of a time column of numbers.
    type_
        Column of the interaction type; without it every event is a click.
    value
        Column of the value (a rating, a quantity).
    items
        What is known of items: a file with a message of the `items` topic in JSON on each line.
        With `--candidates all` it is known before the first event, with `seen` from an item's first
        event on.
    profiles
        The same of users, with messages of the `users` topic, before the first event.
    score_from
        Share of the rows after which events are scored.
    candidates
        `seen`: items of earlier events; `all`: of the whole file.
    repeats
        `mask`: what the user already had is no candidate, and events on it are not scored.
    negatives
        Above 0: rank the item that came among this many random candidates instead of all.
    ties
        Rank among equal scores: the middle of them, or the last.
    models
        Comma-separated: default, popularity, last, markov, itemknn, sessionknn, ease, ials, isgd,
        river-mf, gru4rec, sasrec.
    outer_every
        Events between two rounds of the learner; the default is what a live service at 1,000
        events a second sees between two versions.
    limit
        Take only the first rows of the file.
    json_path
        Write the result to this file as JSON.
    """
    from metarec_stream.commands.events_file import accepted
    from metarec_stream.evaluate.beforehand import known_beforehand
    from metarec_stream.evaluate.models import Evaluation, chosen_models, evaluate_models
    from metarec_stream.evaluate.protocol import Protocol

    names = chosen_models(models)
    columns = {"user": user, "item": item, "time": time, "type": type_, "value": value}
    protocol = Protocol(score_from, candidates, repeats, negatives, ties)
    beforehand = known_beforehand(items, profiles, settings)
    table = accepted(_table(events, columns, time_unit, limit, settings), settings)
    evaluation = Evaluation(table, protocol, settings, outer_every, beforehand=beforehand)
    with _ProgressBar(len(table)) as bar:
        result = evaluate_models(evaluation, names, bar.show)
    _print_table(result)
    if json_path:
        _write(json_path, result)
    return 0


def _table(
    events: Path,
    columns: dict[str, str | None],
    time_unit: TimeUnit,
    limit: int | None,
    settings: Settings,
) -> EventTable:
    from metarec_stream.datasets.synthetic import synthetic_stream
    from metarec_stream.evaluate.dataset import columns_of, read_events, table_of

    if events == MADE_UP:
        return table_of(synthetic_stream(settings.synthetic, settings.seed), limit)
    found = columns_of(events, columns, time_unit, settings.catalogue.context)
    return read_events(events, found, limit)


def _print_table(result: dict[str, object]) -> None:
    from rich.console import Console

    from metarec_stream.evaluate.presentation import result_table

    Console(width=None if sys.stdout.isatty() else 140).print(result_table(result))


def _write(path: Path, result: dict[str, object]) -> None:
    try:
        path.write_text(json.dumps(result, indent=2) + "\n")
    except OSError as error:
        raise Fatal(f"{path}: the result cannot be written: {error.strerror}") from error


class _ProgressBar:
    """Events done by the current model, on standard error if that is a terminal."""

    def __init__(self, total: int) -> None:
        from metarec_stream.commands.progress import event_bar

        self._progress = event_bar()
        self._total = total
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, model: str, done: int) -> None:
        """A model has done this many events."""
        if model not in self._tasks:
            self._tasks[model] = self._progress.add_task(model, total=self._total)
        self._progress.update(self._tasks[model], completed=done)
