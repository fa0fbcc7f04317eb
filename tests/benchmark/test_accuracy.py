"""The whole: from files of data to the report, with what is missing said."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from metarec_stream.benchmark import accuracy
from metarec_stream.benchmark.runner import run_jobs
from metarec_stream.commands.bench import chosen
from metarec_stream.commands.main import main
from metarec_stream.evaluate.models import MODELS
from tests.benchmark.planted import FILE, PLANTED, write_planted
from tests.benchmark.stub import WORKER

ABSENT = replace(
    PLANTED, name="other", title="Other", files=(replace(PLANTED.files[0], name="other.csv"),)
)


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two protocols of the tests in place of the public ones."""
    monkeypatch.setattr(accuracy, "BENCHMARKS", (PLANTED, ABSENT))


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that needs no time."""
    monkeypatch.setattr(accuracy, "run_jobs", partial(run_jobs, worker=WORKER))


def bench(tmp_path: Path, *arguments: str) -> int:
    """Run the command with folders of the test's own."""
    folders = ("--results", str(tmp_path / "results"), "--docs", str(tmp_path / "docs"))
    return main(["bench", "accuracy", *folders, *arguments])


def report_of(tmp_path: Path, *arguments: str) -> str:
    """The page that `metarec bench report` writes of what is there."""
    folders = ("--results", str(tmp_path / "results"), "--docs", str(tmp_path / "again"))
    assert main(["bench", "report", *folders, *arguments]) == 0
    return (tmp_path / "again" / "accuracy.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("pretended")
def test_from_data_to_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell runs, the absent protocol is skipped, a second run finds all done."""
    write_planted(tmp_path, events=60)
    asked = ("--models", "popularity", "--seeds", "1", "--data-dir", str(tmp_path))
    assert bench(tmp_path, *asked) == 0
    page = (tmp_path / "docs" / "accuracy.md").read_text(encoding="utf-8")
    assert "| popularity |" in page
    assert "Other: other.csv is absent" in page
    assert "made up by the tests" in page
    assert str(tmp_path) not in page
    said = capsys.readouterr().err
    assert "protocol_skipped" in said
    assert "made up by the tests" in said
    page_again = report_of(tmp_path, "--models", "popularity,last", "--data-dir", str(tmp_path))
    assert "| popularity |" in page_again
    assert "| last |" not in page_again
    kept = tmp_path / "results" / "planted" / "popularity" / "seed-0.json"
    assert json.loads(kept.read_text())["error"] is None
    written = kept.stat().st_mtime_ns
    assert bench(tmp_path, *asked) == 0
    assert kept.stat().st_mtime_ns == written


def test_all_models_are_the_default_and_every_control() -> None:
    """Each once, also where one of them is named besides."""
    assert chosen("markov, all")[:2] == ["markov", "default"]
    assert sorted(chosen("markov,all")) == sorted(MODELS)
    assert chosen("last") == ["last"]


def test_the_setting_names_the_folder_too(tmp_path: Path) -> None:
    """A cell that fails, in a process of its own, gives status 1, and the report all the same."""
    (tmp_path / FILE).write_text("user,item,when\na,b,1\n")
    asked = ("--protocols", "planted", "--models", "popularity", "--seeds", "1")
    assert bench(tmp_path, *asked, "--data.dir", str(tmp_path)) == 1
    page = (tmp_path / "docs" / "accuracy.md").read_text(encoding="utf-8")
    assert "popularity, seed 0" in page
    assert "no column time" in page


def test_without_any_data_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1, where to get the files, and no report."""
    assert bench(tmp_path, "--models", "popularity") == 1
    said = capsys.readouterr().err
    assert "made up by the tests" in said
    assert "METAREC_DATA__DIR" in said
    assert not (tmp_path / "docs").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--protocols", "planted,magic"), "there are all, planted, other"),
        (("--protocols", ","), "there are all, planted, other"),
        (("--models", "magic"), "default, popularity"),
        (("--seeds", "0"), "seeds"),
    ],
)
def test_bad_usage_has_status_2(
    tmp_path: Path, flags: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says what there is."""
    assert bench(tmp_path, *flags) == 2
    assert said in capsys.readouterr().err
