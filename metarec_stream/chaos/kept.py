"""Outcomes of an earlier run, so that a matrix can be made in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

import metarec_stream
from metarec_stream.chaos.outcome import Outcome
from metarec_stream.chaos.plan import Planned

OUTCOME = "outcome.json"


class _Kept(msgspec.Struct, frozen=True):
    key: str
    """Of all that the outcome depends on."""
    outcome: Outcome


class KeptOutcomes:
    """In a folder for each fault, as that of its logs; only those that were as expected are used.

    An outcome counts as long as the code, the settings, the scale and the plan are what they were.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """`settings`: every value that outcomes depend on; the code is taken from the package."""
        self._folder = folder
        self._base = {"code": code_digest(), **settings}

    def find(self, planned: Planned) -> Outcome | None:
        """The outcome of the same fault under the same conditions; None if there is none."""
        try:
            data = (self._folder / planned.fault / OUTCOME).read_bytes()
            kept = msgspec.json.decode(data, type=_Kept)
        except (OSError, msgspec.DecodeError):
            return None
        usable = kept.key == self._key(planned) and kept.outcome.as_expected
        return kept.outcome if usable else None

    def keep(self, planned: Planned, outcome: Outcome) -> None:
        """Note an outcome beside the logs of its fault."""
        folder = self._folder / planned.fault
        folder.mkdir(parents=True, exist_ok=True)
        data = msgspec.json.encode(_Kept(self._key(planned), outcome))
        (folder / OUTCOME).write_bytes(data + b"\n")

    def _key(self, planned: Planned) -> str:
        conditions = {**self._base, "plan": msgspec.to_builtins(planned)}
        return sha256(msgspec.json.encode(conditions, order="sorted")).hexdigest()


def code_digest() -> str:
    """Of every module of the package."""
    root = Path(metarec_stream.__file__).parent
    digest = sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
