"""`metarec tune`: what it writes, that it goes on, and what bad usage gets."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import structlog

from metarec_stream.commands.main import main
from metarec_stream.config import Settings
from metarec_stream.settings_sources import load_settings, take_flags
from tests.evaluate.streams import planted_table

COLUMNS = ("--user", "who", "--item", "what", "--time", "when")
SMALL = ("--value-sum.dimensions", "4", "--learn.device", "cpu", "--learn.block", "32",
         "--outer-every", "32", "--search", "learn.table_rate,learn.steps")  # fmt: skip


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """The logging of other tests put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Two hundred events of users who go their rounds."""
    table = planted_table(200, seed=1)
    path = tmp_path / "events.parquet"
    columns = {"who": table.user, "what": table.item, "when": table.ts // 1_000}
    pl.DataFrame(columns).write_parquet(path)
    return path


def taken(path: Path) -> Settings:
    """The settings as `serve` and `learn` get them."""
    return load_settings(take_flags(["--config", str(path)]), {}).settings


def test_it_writes_settings_that_config_takes_and_goes_on(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Best settings, plots, a study; repeated, it runs only the trials that are missing."""
    into = tmp_path / "found"
    command = ["tune", str(events), *COLUMNS, *SMALL, "--into", str(into), "--trials"]
    assert main([*command, "2"]) == 0
    said = capsys.readouterr()
    assert "of 2 finished: MRR 0." in said.out
    assert said.err.count("trial_finished") == 2
    assert {path.name for path in into.iterdir()} == {
        "best.toml", "history.svg", "slices.svg", "study.journal",
    }  # fmt: skip
    found = taken(into / "best.toml")
    assert (found.value_sum.dimensions, found.learn.device, found.learn.block) == (4, "cpu", 32)
    assert 1e-3 <= found.learn.table_rate <= 1e-1
    assert main([*command, "3"]) == 0
    assert capsys.readouterr().err.count("trial_finished") == 1
    assert main([*command, "3", "--seed", "1"]) == 1
    assert "a search with other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--search", "learn.magic"), "there are learn.table_rate"),
        (("--score-from", "0.5", "--score-to", "0.4"), "no event is scored"),
        (("--trials", "0"), "--trials"),
        (("--score-to", "1.5"), "--score-to"),
        (("--pruner", "luck"), "--pruner"),
    ],
)
def test_bad_usage_is_status_2_before_anything_is_written(
    events: Path,
    tmp_path: Path,
    flags: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And names what would do."""
    into = tmp_path / "found"
    assert main(["tune", str(events), *COLUMNS, "--into", str(into), *flags]) == 2
    assert said in capsys.readouterr().err
    assert not into.exists()


def test_without_optuna_the_extra_is_named(
    events: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Status 1, one line."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "metarec_stream.tune.ledger", raising=False)
    assert main(["tune", str(events), *COLUMNS, "--into", str(tmp_path / "found")]) == 1
    assert "metarec-stream[bench]" in capsys.readouterr().err


def test_interrupted_it_writes_what_it_has(
    events: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ctrl-C in the second trial: status 130, and the first one's settings."""
    from metarec_stream.tune.progress import SearchProgress

    def interrupt(_self: SearchProgress, trial: object) -> None:
        raise KeyboardInterrupt

    into = tmp_path / "found"
    command = ["tune", str(events), *COLUMNS, *SMALL, "--into", str(into), "--trials", "5"]
    finished = SearchProgress.finished

    def then_interrupt(self: SearchProgress, *arguments: object) -> None:
        finished(self, *arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(SearchProgress, "started", interrupt)

    monkeypatch.setattr(SearchProgress, "finished", then_interrupt)
    assert main(command) == 130
    assert "of 1 finished: MRR 0." in capsys.readouterr().out
    assert taken(into / "best.toml").learn.table_rate == Settings().learn.table_rate
