"""What a search found, as the TOML file that `metarec serve` and `metarec learn` take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metarec_stream.commands.config import as_toml
from metarec_stream.errors import Fatal
from metarec_stream.tune.ledger import Ledger
from metarec_stream.tune.objective import Objective
from metarec_stream.tune.space import with_values

BEST = "best.toml"
_FOUND = "metarec tune"


def write_best(
    folder: Path, ledger: Ledger, objective: Objective, origins: Mapping[str, str]
) -> Path:
    """Write every setting that was given, with the best trial's in place; replaces an earlier file.

    origins: by name, where those that came from a flag, a variable or a file came from. Secrets
    are left out, as a comment says. Raises Fatal if no trial went through, or it cannot be written.
    """
    best = ledger.require_best()
    settings = with_values(objective.settings, best.params)
    every = {**origins, **dict.fromkeys(best.params, _FOUND)}
    head = "".join(f"# {line}\n" for line in _about(ledger, objective))
    path = folder / BEST
    try:
        path.write_text(head + as_toml(settings, every, every), encoding="utf-8")
    except OSError as error:
        raise Fatal(f"{path}: the settings cannot be written: {error.strerror}") from error
    return path


def _about(ledger: Ledger, objective: Objective) -> list[str]:
    best, present = ledger.require_best(), ledger.present()
    rows = len(objective.table)
    first = objective.protocol.first_scored(rows)
    lines = [
        f"Found by `metarec tune`: trial {best.number}, of {len(ledger.finished())} finished.",
        f"MRR on rows {first:,} to {rows:,}, no later one looked at: {best.value:.6f}.",
    ]
    if present is not None:
        lines.append(f"With the settings that the search began with: {present.value:.6f}.")
    return lines
