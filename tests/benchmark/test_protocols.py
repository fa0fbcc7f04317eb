"""The list of protocols: complete, and true to the functions that it names."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

from metarec_stream.benchmark.protocols import BENCHMARKS, Benchmark
from metarec_stream.benchmark.wikipedia import FILE, jodie_wikipedia
from metarec_stream.evaluate.metrics import MEASURES
from metarec_stream.evaluate.protocols import public_data


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_a_benchmark_names_what_there_is(benchmark: Benchmark) -> None:
    """A function of folder and seed, measures that exist, and aims of those measures alone."""
    module, _, name = benchmark.trial.partition(":")
    assert list(signature(getattr(import_module(module), name)).parameters) == ["folder", "seed"]
    assert {measure.partition(" ")[0] for measure in benchmark.measures} <= set(MEASURES)
    named = [benchmark.aims, benchmark.lead_aims, *(known.scores for known in benchmark.known)]
    assert {measure for each in named for measure in each} <= set(benchmark.measures)


def test_every_public_protocol_is_in_the_benchmark() -> None:
    """None is left out, and no two have a name in common."""
    there = {
        name
        for name, each in vars(public_data).items()
        if not name.startswith("_") and getattr(each, "__module__", "") == public_data.__name__
        if list(signature(each).parameters) == ["folder", "seed"]
    }
    named = {benchmark.trial.partition(":")[2] for benchmark in BENCHMARKS}
    assert there - named == set()
    assert len({benchmark.name for benchmark in BENCHMARKS}) == len(BENCHMARKS)


def test_absent_files_are_told(tmp_path: Path) -> None:
    """Also where no folder is named; a protocol without files lacks nothing."""
    by_name = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    retail = by_name["retail"]
    assert [file.name for file in retail.absent(tmp_path)] == ["online_retail.parquet"]
    assert retail.absent(None) == retail.absent(tmp_path)
    (tmp_path / "online_retail.parquet").write_bytes(b"")
    assert retail.absent(tmp_path) == []
    assert by_name["synthetic-change"].absent(None) == []


def test_wikipedia_is_read_as_jodie_wrote_it(tmp_path: Path) -> None:
    """Times from zero on; the last tenth is scored, among all pages, repeats included."""
    rows = [f"{row % 3},{row % 2},{float(row)}" for row in range(20)]
    (tmp_path / FILE).write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    prepared = jodie_wikipedia(tmp_path, 0)
    assert len(prepared.table) == 20
    assert prepared.protocol.first_scored(20) == 18
    assert (prepared.protocol.candidates, prepared.protocol.repeats) == ("all", "include")
