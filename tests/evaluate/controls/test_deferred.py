"""Controls that need an extra are listed without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from metarec_stream.evaluate.controls.deferred import deferred
from metarec_stream.evaluate.models import CONTROLS
from metarec_stream.evaluate.protocol import Protocol
from tests.evaluate.streams import stream_from

EVALUATE = """
import sys
from metarec_stream.commands.main import main
sys.argv[1:] = sys.argv[1].split()
try:
    status = main()
except SystemExit as end:
    status = end.code
print("status", status, "torch" in sys.modules)
"""


def test_models_that_need_no_torch_import_none(tmp_path: Path) -> None:
    """`metarec evaluate --models popularity` in a process of its own."""
    events = tmp_path / "events.csv"
    rows = [f"u{row % 3},i{row % 5},{1_500_000_000 + row}" for row in range(40)]
    events.write_text("\n".join(["user,item,ts", *rows]))
    flags = f"evaluate {events} --user user --item item --time ts --models popularity"
    done = subprocess.run(
        [sys.executable, "-c", EVALUATE, flags], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "status 0 False", done.stderr


@pytest.mark.parametrize("name", ["gru4rec", "sasrec"])
def test_a_name_leads_to_its_control(name: str) -> None:
    """All that the protocol scores is ranked."""
    stream, protocol = (
        stream_from([(f"u{row % 3}", f"i{row % 5}") for row in range(40)]),
        Protocol(),
    )
    ranked = CONTROLS[name](stream, protocol, 0)
    assert ranked.rows.tolist() == stream.scored(protocol).tolist()


def test_what_is_missing_is_said_when_it_runs() -> None:
    """Not when it is listed; the command names the extra for a package that is not installed."""
    absent = deferred("absent")
    with pytest.raises(ModuleNotFoundError, match="absent"):
        absent(stream_from([("a", "u")]), Protocol(), 0)
