"""The TOML of a search: what `--config` takes, and nothing that should stay secret."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from metarec_stream.commands.tune_result import BEST, write_best
from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.kafka.settings import KafkaSettings
from metarec_stream.pipeline.settings import EventsSettings
from metarec_stream.settings_sources import load_settings, take_flags
from metarec_stream.tune.objective import Objective
from tests.tune.searches import formula, ledger_in, quality


def found_with(folder: Path, settings: Settings, *given: str) -> str:
    """The file after three trials of which the second is best."""
    plain = formula()
    objective = Objective(plain.table, plain.protocol, settings, plain.outer_every)
    with closing(ledger_in(folder, 3)) as ledger:
        for mrr in (0.25, 0.75, 0.5):
            trial = ledger.ask()
            assert trial is not None
            ledger.complete(trial, mrr)
        path = write_best(folder, ledger, objective, dict.fromkeys(given, "a flag"))
        assert loaded(path).learn.table_rate == ledger.require_best().params["learn.table_rate"]
        assert loaded(path).learn.steps == ledger.require_best().params["learn.steps"]
    return path.read_text(encoding="utf-8")


def loaded(path: Path) -> Settings:
    """The settings as a command gets them."""
    return load_settings(take_flags(["--config", str(path)]), {}).settings


def test_given_settings_come_back_with_the_found_ones(tmp_path: Path) -> None:
    """Texts with quotes, tables with odd keys, top-level keys; what nobody gave is the default."""
    settings = Settings(
        seed=7,
        emit="per_event",
        kafka=KafkaSettings(bootstrap_servers="a:1,b:2", sasl_username='o"h\\no'),
        events=EventsSettings(weights={"re-watch": 0.5, 'say "é"': -1.0}),
    )
    given = ("seed", "emit", "kafka.bootstrap_servers", "kafka.sasl_username", "events.weights")
    text = found_with(tmp_path, settings, *given)
    found = loaded(tmp_path / BEST)
    assert found.model_dump(exclude={"learn"}) == settings.model_dump(exclude={"learn"})
    assert "table_rate = " in text
    assert "weights_rate" not in text
    assert "[http]" not in text


def test_it_says_where_it_comes_from(tmp_path: Path) -> None:
    """The trial, its MRR, and the MRR of the settings that the search began with."""
    text = found_with(tmp_path, Settings())
    assert "trial 1, of 3 finished" in text
    assert "0.750000" in text
    assert "began with: 0.250000" in text


def test_a_secret_is_left_out(tmp_path: Path) -> None:
    """And said to be missing."""
    kafka = KafkaSettings(sasl_username="u", sasl_password=SecretStr("hush"))
    text = found_with(tmp_path, Settings(kafka=kafka), "kafka.sasl_password")
    assert "hush" not in text
    assert "sasl_password" in text
    assert loaded(tmp_path / BEST).kafka.sasl_password is None


def test_a_folder_that_takes_no_file_is_said(tmp_path: Path) -> None:
    """With the path."""
    (tmp_path / BEST).mkdir()
    with closing(ledger_in(tmp_path, 1)) as ledger:
        trial = ledger.ask()
        assert trial is not None
        ledger.complete(trial, quality(trial.params))
        with pytest.raises(Fatal, match="cannot be written"):
            write_best(tmp_path, ledger, formula(), {})
