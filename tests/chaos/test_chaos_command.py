"""`metarec chaos`, shortened, as a process of its own with a broker of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = ("crash-after-send", "restart", "poison")


@pytest.mark.timeout(400)
def test_faults_are_done_and_certified_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """Nothing lost, nothing twice; status 0, the matrix is written, temporary folders are gone."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [
        sys.executable, "-m", "metarec_stream", "chaos", "--faults", ",".join(FAULTS),
        "--events", "1500", "--seconds", "8", "--consumers", "2", "--learners", "0",
        "--kafka.session-timeout-ms", "3000", "--kafka.heartbeat-interval-ms", "500",
        "--topics.partitions", "2", "--docs", str(tmp_path / "docs"),
        "--results", str(tmp_path / "results"), "--log.level", "error",
    ]  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(temporary)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=390, check=False
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    figures = json.loads((tmp_path / "docs" / "fault-matrix.json").read_text("utf-8"))
    rows = {row["fault"]: row for row in figures["outcomes"]}
    assert tuple(rows) == FAULTS
    for row in rows.values():
        assert (row["verdict"], row["lost"]) == ("certified", 0)
        assert row["learned_twice"] == row["output_duplicates"] == 0
        assert row["events"] >= 1_500
        assert row["timing"]["harmed_s"] is not None
    assert any(each.endswith(": -9") for each in rows["crash-after-send"]["ended"])
    assert any(each.endswith(": 0") for each in rows["restart"]["ended"])
    assert rows["poison"]["rejected"] >= 350
    assert rows["poison"]["duplicates"] >= 50
    assert (tmp_path / "results" / "poison" / "certificate.json").exists()
    assert list(temporary.iterdir()) == []
