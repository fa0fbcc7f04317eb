"""`metarec bench accuracy`: every model under every public protocol, resumable, with a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le
from cyclopts import Parameter

from metarec_stream.config import Settings


def bench(
    what: Literal["accuracy", "report"],
    *,
    results: Path,
    data_dir: Path | None = None,
    docs: Path = Path("docs/benchmarks"),
    protocols: str = "all",
    models: str = "all",
    seeds: Annotated[int, Ge(1), Le(30)] = 3,
    outer_every: Annotated[int, Ge(1), Le(100_000)] = 256,
    changed_code: Literal["rerun", "keep"] = "rerun",
    settings: Annotated[Settings, Parameter(parse=False)],
) -> int:
    """Measure models on public data under published protocols, and write the report.

    Each cell (a protocol, a model, a seed) runs in a process of its own and is kept as soon as it
    is done: a run that was interrupted goes on where it was. A cell runs again if it failed, or if
    its settings, its data, the code it runs or the release has changed. Status 1 if one failed.

    Parameters
    ----------
    what
        `accuracy`: how well the models rank what comes; `report`: only write the report anew, of
        the cells that are there.
    results
        Folder that keeps the cells.
    data_dir
        Folder of the public data sets; without it the setting data.dir. A protocol whose data is
        absent is skipped, and where to get it is said.
    docs
        Folder of the report: accuracy.md, accuracy.json and the plots.
    protocols
        Comma-separated names, or `all`.
    models
        Comma-separated names as of `evaluate`; `all` stands for the default and every control.
    seeds
        How many, from `--seed` on.
    outer_every
        Events between two rounds of the learner.
    changed_code
        Of cells that other code has made, all else being equal: `rerun` or `keep` them.
    """
    from metarec_stream.benchmark.accuracy import (
        chosen_benchmarks,
        report_accuracy,
        run_accuracy,
    )
    from metarec_stream.benchmark.plan import Plan
    from metarec_stream.benchmark.store import ResultStore

    named = data_dir or (Path(settings.data.dir) if settings.data.dir else None)
    plan = Plan(
        benchmarks=chosen_benchmarks(protocols),
        models=chosen(models),
        seeds=seeds,
        settings=settings,
        data_dir=named.absolute() if named else None,
        outer_every=outer_every,
    )
    store = ResultStore(results)
    if what == "report":
        return 1 if report_accuracy(plan, store, docs) else 0
    failed = run_accuracy(plan, store, docs, changed_code)
    return 1 if failed else 0


def chosen(models: str) -> list[str]:
    """The models of a comma-separated list, in which `all` stands for every one without a suffix.

    Raises BadConfiguration for one that there is not.
    """
    from metarec_stream.evaluate.models import MODELS, chosen_models

    words = [word.strip() for word in models.split(",")]
    return chosen_models(",".join(",".join(MODELS) if word == "all" else word for word in words))
