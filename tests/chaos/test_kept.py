"""Outcomes that are kept, so that a matrix can be made in pieces."""

from __future__ import annotations

from pathlib import Path

import msgspec

from metarec_stream.chaos.kept import OUTCOME, KeptOutcomes
from metarec_stream.chaos.plan import Planned
from tests.chaos.test_report import outcome

PLANNED = Planned(fault="kill", victim=2, seed=1)


def test_an_outcome_is_found_again_under_the_same_conditions_only(tmp_path: Path) -> None:
    """Another setting, another draw of the plan, or bytes that are none: it is done again."""
    kept = KeptOutcomes(tmp_path, {"events": 10})
    assert kept.find(PLANNED) is None
    kept.keep(PLANNED, outcome())
    assert KeptOutcomes(tmp_path, {"events": 10}).find(PLANNED) == outcome()
    assert KeptOutcomes(tmp_path, {"events": 11}).find(PLANNED) is None
    assert kept.find(msgspec.structs.replace(PLANNED, seed=2)) is None
    (tmp_path / "kill" / OUTCOME).write_bytes(b"{")
    assert kept.find(PLANNED) is None


def test_an_outcome_that_was_not_expected_is_not_taken_for_the_last_word(tmp_path: Path) -> None:
    """The fault is done again, whatever the reason was."""
    kept = KeptOutcomes(tmp_path, {})
    kept.keep(PLANNED, outcome(verdict="failed"))
    assert kept.find(PLANNED) is None
