"""Known figures under each public protocol, on the folder of public data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from metarec_stream.contract.interaction import DEFAULT_TYPES
from metarec_stream.evaluate.controls.control import Control
from metarec_stream.evaluate.controls.last import last
from metarec_stream.evaluate.controls.markov import markov
from metarec_stream.evaluate.controls.popularity import popularity, rank_by_counts
from metarec_stream.evaluate.controls.together import run_control
from metarec_stream.evaluate.metrics import ranks, report
from metarec_stream.evaluate.protocols import public_data
from metarec_stream.evaluate.protocols.trial import Trial
from metarec_stream.evaluate.stream import stream_of
from metarec_stream.settings_sources import load_settings, take_flags
from tests.evaluate.protocols.sequential_rules import rank_by_rules

_NEVER = 1e30
"""Half-life of counts that do not decay."""


@pytest.fixture(scope="module")
def data_dir() -> Path:
    """The folder of public data; without it there is nothing to compare with."""
    named = load_settings(take_flags(()), os.environ).settings.data.dir
    if named is None:
        pytest.skip("METAREC_DATA__DIR does not name the folder of public data sets")
    return Path(named)


def _file(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        pytest.skip(f"{name} is not in the folder of public data sets")
    return folder / name


def _measured(control: Control, trial: Trial) -> list[object]:
    stream = stream_of(trial.table, DEFAULT_TYPES, trial.questions)
    found = report(run_control(control, stream, trial.protocol, 0), stream, trial.protocol)
    return [found[name] for name in trial.measures]


def test_flurs_popularity(data_dir: Path) -> None:
    """Counts that do not decay: .1054 in FluRS, where sorting leaves the order of equals open."""
    _file(data_dir, public_data.ML_100K)
    trial = public_data.flurs_ml100k(data_dir, 0)
    stream = stream_of(trial.table, DEFAULT_TYPES)
    part = slice(trial.protocol.first_scored(len(stream)), len(stream))
    ranked = rank_by_counts(stream, trial.protocol, _NEVER, 0, part)
    assert len(ranked.rows) == 14_841
    first_of_equals = ranked.candidate & (ranked.greater < 10)
    last_of_equals = ranks(ranked, "pessimistic") <= 10
    assert np.mean(last_of_equals) < 0.1054 < np.mean(first_of_equals)
    assert np.mean(ranks(ranked, "mid") <= 10) == pytest.approx(0.1054, abs=0.001)


def test_cope_reads_the_file_that_cope_had(data_dir: Path) -> None:
    """Users, items and events of MovieLens 100K with at least five of each; ours to record."""
    _file(data_dir, public_data.ML_100K)
    trial = public_data.cope_ml100k(data_dir, 0)
    table = trial.table
    assert (len(set(table.user)), len(set(table.item)), len(table)) == (943, 1_349, 99_287)
    assert _measured(popularity, trial) == pytest.approx([0.0248, 0.0472], abs=0.0005)
    assert _measured(last, trial) == pytest.approx([0.0121, 0.0186], abs=0.0005)


@pytest.mark.timeout(600)
def test_chameleon_sequential_rules(data_dir: Path) -> None:
    """HR@10 .590 and MRR@10 .289 over 16 days; here over the first 5, rules as of each click."""
    path = _file(data_dir, public_data.GLOBO)
    trial = public_data.globo_hours(data_dir, 0)
    stream = stream_of(trial.table, DEFAULT_TYPES, trial.questions)
    session = pl.read_parquet(path, columns=["session_id"])["session_id"].to_numpy()
    found = rank_by_rules(stream, session, trial.protocol)
    assert found["hr@10"] == pytest.approx(0.590, abs=0.02)
    assert found["mrr@10"] == pytest.approx(0.289, abs=0.02)


def test_online_retail_markov(data_dir: Path) -> None:
    """HR@10 .291 and MRR .170 in the lines' order; of that, shuffling leaves a fifth."""
    _file(data_dir, public_data.ONLINE_RETAIL)
    in_order = _measured(markov, public_data.online_retail(data_dir, 0))
    assert in_order == pytest.approx([0.291, 0.170], abs=0.0015)
    shuffled = _measured(markov, public_data.online_retail_shuffled(data_dir, 0))
    assert shuffled == pytest.approx([0.055, 0.029], abs=0.005)


def test_jodie_on_online_retail(data_dir: Path) -> None:
    """JODIE's own files may not be at hand: what its protocol gives here, ours to record."""
    _file(data_dir, public_data.ONLINE_RETAIL)
    trial = public_data.online_retail_jodie(data_dir, 0)
    assert _measured(last, trial) == pytest.approx([0.0215, 0.0379], abs=0.0005)
    assert _measured(popularity, trial) == pytest.approx([0.0244, 0.0499], abs=0.0005)


@pytest.mark.parametrize(
    ("prepare", "file", "hit_rate", "mrr"),
    [
        (public_data.globo_seen, public_data.GLOBO, 0.659, 0.384),
        (public_data.unseen_ml100k, public_data.ML_100K, 0.0715, 0.0375),
    ],
)
def test_popularity_where_only_what_is_unseen_is_ranked(
    data_dir: Path, prepare: public_data.Prepare, file: str, hit_rate: float, mrr: float
) -> None:
    """The design's figures, measured with another program."""
    _file(data_dir, file)
    found = _measured(popularity, prepare(data_dir, 0))
    assert found == pytest.approx([hit_rate, mrr], abs=0.0005)
