"""`metarec bench accuracy`: runs what is missing, then reports all that was asked for.

`metarec bench report` runs nothing and reports what is there of it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import structlog

from metarec_stream.benchmark.plan import Plan, asked_command, jobs_of
from metarec_stream.benchmark.progress import Expectation, ProgressWatch
from metarec_stream.benchmark.protocols import BENCHMARKS, Benchmark
from metarec_stream.benchmark.publication import publish
from metarec_stream.benchmark.report import Absent, Report
from metarec_stream.benchmark.runner import ChangedCode, missing, run_jobs
from metarec_stream.benchmark.store import ResultStore
from metarec_stream.benchmark.summary import summarise
from metarec_stream.errors import Fatal
from metarec_stream.settings_sources import BadConfiguration

logger = structlog.get_logger()


def chosen_benchmarks(names: str) -> list[Benchmark]:
    """The protocols of a comma-separated list, `all` of them included.

    Raises BadConfiguration for one that there is not.
    """
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    if chosen == ["all"]:
        return list(BENCHMARKS)
    if not chosen or any(name not in known for name in chosen):
        raise BadConfiguration(f"--protocols {names}: there are all, {', '.join(known)}")
    return [known[name] for name in chosen]


def run_accuracy(plan: Plan, store: ResultStore, docs: Path, changed_code: ChangedCode) -> int:
    """Run the cells that are missing, one after the other, and write the report of all.

    Returns how many cells failed. Raises Fatal if no protocol has its data.
    """
    absent = _absent(plan)
    present = _without(plan, absent)
    jobs = jobs_of(present)
    waiting = missing(jobs, store, changed_code)
    kept = [found for job in jobs if job not in waiting and (found := store.read(job.cell))]
    with ProgressWatch(waiting, len(kept), Expectation(kept)) as watch:
        run_jobs(waiting, store, watch)
    return _reported(plan, present, absent, store, docs)


def report_accuracy(plan: Plan, store: ResultStore, docs: Path) -> int:
    """Write the report of the cells that are kept, whatever made them; how many of them failed.

    Raises Fatal if no protocol has its data.
    """
    absent = _absent(plan)
    return _reported(plan, _without(plan, absent), absent, store, docs)


def _without(plan: Plan, absent: list[Absent]) -> Plan:
    skipped = {each.benchmark.name for each in absent}
    present = [each for each in plan.benchmarks if each.name not in skipped]
    if not present:
        raise Fatal(
            "no protocol has its data: name the folder with --data-dir or METAREC_DATA__DIR; "
            "the lines above say which files it holds and where to get them"
        )
    return replace(plan, benchmarks=present)


def _reported(
    plan: Plan, present: Plan, absent: list[Absent], store: ResultStore, docs: Path
) -> int:
    outcomes = [found for job in jobs_of(present) if (found := store.read(job.cell))]
    summaries = [
        summarise(
            benchmark,
            plan.models,
            [each for each in outcomes if each.cell.protocol == benchmark.name],
        )
        for benchmark in present.benchmarks
    ]
    page = publish(Report(asked_command(plan), summaries, absent, outcomes), docs)
    failed = sum(each.finding is None for each in outcomes)
    logger.info("benchmark_reported", page=str(page), cells=len(outcomes), failed=failed)
    return failed


def _absent(plan: Plan) -> list[Absent]:
    found = []
    for benchmark in plan.benchmarks:
        files = benchmark.absent(plan.data_dir)
        if not files:
            continue
        found.append(Absent(benchmark, tuple(file.name for file in files)))
        for file in files:
            logger.warning(
                "protocol_skipped",
                protocol=benchmark.name,
                absent=str((plan.data_dir or Path()) / file.name),
                columns=file.columns,
                get_it_from=file.source,
            )
    return found
