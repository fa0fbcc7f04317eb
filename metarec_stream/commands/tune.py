"""`metarec tune`: search settings on a part of a file that is not scored afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le
from cyclopts import Parameter

from metarec_stream.config import Settings
from metarec_stream.tune.space import DEFAULT_SEARCH, present_values, search_ranges

if TYPE_CHECKING:
    from metarec_stream.tune.ledger import Ledger
    from metarec_stream.tune.objective import Objective
    from metarec_stream.tune.space import Range

INTERRUPTED = 130


def tune(
    events: Path,
    *,
    into: Path,
    user: str,
    item: str,
    time: str,
    time_unit: Literal["s", "ms", "us", "ns"] = "s",
    type_: Annotated[str | None, Parameter(name="--type")] = None,
    value: str | None = None,
    limit: Annotated[int | None, Ge(1)] = None,
    search: str = DEFAULT_SEARCH,
    score_from: Annotated[float, Ge(0), Le(1)] = 0.1,
    score_to: Annotated[float, Gt(0), Le(1)] = 0.5,
    candidates: Literal["seen", "all"] = "seen",
    repeats: Literal["include", "mask"] = "include",
    outer_every: Annotated[int, Ge(1), Le(100_000)] = 256,
    trials: Annotated[int, Ge(1)] = 50,
    seconds: Annotated[float | None, Gt(0)] = None,
    pruner: Literal["median", "halving", "none"] = "median",
    jobs: Annotated[int, Ge(1), Le(256)] = 1,
    settings: Annotated[Settings, Parameter(parse=False)],
    origins: Annotated[Mapping[str, str], Parameter(parse=False)],
) -> int:
    """Search settings on a file of events: the largest MRR of `metarec evaluate` on a part of it.

    Repeating the command goes on where the last one ended, however that ended.

    Parameters
    ----------
    events
        A .parquet, .csv or .jsonl file, one event a row.
    into
        Folder for the study, plots, and `best.toml`: settings that `--config` takes.
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
    limit
        Take only the first rows of the file.
    search
        Comma-separated settings to search; a name that there is not is answered with all of them.
    score_from
        Share of the rows after which events are scored.
    score_to
        Share of the rows after which nothing is looked at: what comes later stays unseen.
    candidates
        `seen`: items of earlier events; `all`: of the rows before `--score-to`.
    repeats
        `mask`: what the user already had is no candidate, and events on it are not scored.
    outer_every
        Events between two rounds of the learner.
    trials
        Finished trials in the study after which the search ends.
    seconds
        Begin no trial after so many seconds of this run.
    pruner
        How hopeless trials are ended early: below the median at the same point, or by successive
        halving.
    jobs
        Trials at once, each in a process; with more than 1 the order of results decides what is
        tried next.
    """
    from metarec_stream.commands.events_file import accepted_events
    from metarec_stream.evaluate.dataset import Columns
    from metarec_stream.evaluate.protocol import Protocol
    from metarec_stream.tune.ledger import Bounds, Ledger
    from metarec_stream.tune.objective import objective_until

    ranges = search_ranges(search, settings, outer_every)
    columns = Columns(user, item, time, time_unit, type_, value)
    table = accepted_events(events, columns, limit, settings)
    protocol = Protocol(score_from, candidates, repeats)
    objective = objective_until(score_to, table, protocol, settings, outer_every)
    ledger = Ledger(
        into,
        objective.description(),
        ranges,
        present_values(settings, ranges),
        Bounds(trials, seconds),
        pruner,
    )
    try:
        status = _search(objective, ledger, trials, jobs)
        if status == 0 or ledger.best() is not None:
            _conclude(into, objective, ledger, ranges, origins)
    finally:
        ledger.close()
    return status


def _search(objective: Objective, ledger: Ledger, trials: int, jobs: int) -> int:
    from metarec_stream.tune.parallel import search_in_parallel
    from metarec_stream.tune.progress import SearchProgress
    from metarec_stream.tune.search import search

    best = ledger.best()
    bars = SearchProgress(
        trials, len(ledger.finished()), best.value if best else None, len(objective.table)
    )
    with bars:
        try:
            if jobs == 1:
                search(objective, ledger, bars)
            else:
                search_in_parallel(objective, ledger, bars, jobs)
        except KeyboardInterrupt:
            return INTERRUPTED
    return 0


def _conclude(
    into: Path, objective: Objective, ledger: Ledger, ranges: list[Range], given: Mapping[str, str]
) -> None:
    """Write what was found so far, and say it."""
    from metarec_stream.commands.tune_result import write_best
    from metarec_stream.tune.plots import write_plots

    path = write_best(into, ledger, objective, given)
    write_plots(into, ledger, ranges)
    best, present = ledger.require_best(), ledger.present()
    print(f"trial {best.number} of {len(ledger.finished())} finished: MRR {best.value:.6f}")
    if present is not None:
        print(f"with the settings that the search began with: {present.value:.6f}")
    for each in ranges:
        print(f"{each.name} = {best.params[each.name]:g}")
    print(f"written to {path}")
