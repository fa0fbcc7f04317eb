"""The controls' figures on public data, as the design measured them with another program."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from metarec_stream.contract.interaction import DEFAULT_TYPES
from metarec_stream.evaluate.controls.popularity import popularity
from metarec_stream.evaluate.dataset import Columns, read_events
from metarec_stream.evaluate.metrics import ranks, report
from metarec_stream.evaluate.models import CONTROLS
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.stream import stream_of
from metarec_stream.settings_sources import load_settings, take_flags


@pytest.fixture(scope="module")
def data_dir() -> Path:
    """The folder of public data; without it there is nothing to compare with."""
    named = load_settings(take_flags(()), os.environ).settings.data.dir
    if named is None:
        pytest.skip("METAREC_DATA__DIR does not name the folder of public data sets")
    return Path(named)


@pytest.mark.parametrize(
    ("file", "columns", "score_from", "mrr", "hit_rate"),
    [
        ("globo_clicks.parquet", Columns("user", "item", "ts_ms", "ms"), 0.5, 0.384, 0.659),
        ("ml100k_ratings.parquet", Columns("user", "item", "timestamp"), 0.9, 0.0375, 0.0715),
    ],
)
def test_popularity_reproduces_the_designs_figures(
    data_dir: Path, file: str, columns: Columns, score_from: float, mrr: float, hit_rate: float
) -> None:
    """First 300,000 rows, what the user had masked."""
    path = data_dir / file
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    stream = stream_of(read_events(path, columns, 300_000), DEFAULT_TYPES)
    protocol = Protocol(score_from=score_from, repeats="mask")
    found = report(popularity(stream, protocol, 0), stream, protocol)
    assert found["mrr"] == pytest.approx(mrr, abs=0.0005)
    assert found["hr@10"] == pytest.approx(hit_rate, abs=0.0005)


@pytest.mark.parametrize(
    ("model", "mrr", "hit_rate"),
    [("markov", 0.0645, 0.1373), ("itemknn", 0.0929, 0.2032), ("isgd", 0.0241, 0.0494)],
)
def test_controls_come_up_to_the_designs_figures(
    data_dir: Path, model: str, mrr: float, hit_rate: float
) -> None:
    """ML-100K, last tenth, all items that the user has not had: within 3 %, or better."""
    path = data_dir / "ml100k_ratings.parquet"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    stream = stream_of(read_events(path, Columns("user", "item", "timestamp")), DEFAULT_TYPES)
    protocol = Protocol(score_from=0.9, candidates="all", repeats="mask")
    place = ranks(CONTROLS[model](stream, protocol, 0), protocol.ties)
    assert np.mean(1 / place) >= 0.97 * mrr
    assert np.mean(place <= 10) >= 0.97 * hit_rate
