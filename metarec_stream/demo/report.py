"""What a demo run has shown: the summary for people and the JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarec_stream.demo.measurements import Quality, Reading

SETTLED_AFTER_S = 10.0
"""A broker and processes that have just started are slow at first: what a service that runs is like
shows after this."""


@dataclass(frozen=True)
class Report:
    """The figures of a whole run."""

    reading: Reading
    """The last look at the consumer."""
    seconds: float
    """From the first event posted to the last one worked off."""
    meta_versions: Sequence[int]
    """Versions published after 0, in order."""
    settled: Reading | None = None
    """The first look after SETTLED_AFTER_S; None if the run was over by then."""

    @property
    def events_per_second(self) -> float:
        """Accepted events over the whole run."""
        return self.reading.accepted / self.seconds if self.seconds else 0.0

    @property
    def settled_ms(self) -> float:
        """p99 of event→recommendation after SETTLED_AFTER_S; NaN if there was none."""
        if self.settled is None:
            return math.nan
        return self.reading.latency_ms_since(self.settled, 0.99)

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of `--json`; a latency is null if nothing was recommended."""
        return {
            "events": self.reading.accepted,
            "seconds": round(self.seconds, 2),
            "events_per_second": round(self.events_per_second, 1),
            "latency_ms": {
                "p50": _number(self.reading.latency_ms(0.50)),
                "p99": _number(self.reading.latency_ms(0.99)),
                "p99_settled": _number(self.settled_ms),
            },
            "meta_versions": list(self.meta_versions),
            "model": _quality(self.reading.quality["model"]),
            "popularity": _quality(self.reading.quality["popularity"]),
        }

    def write(self, path: Path) -> None:
        """Write the JSON object to a file."""
        path.write_text(json.dumps(self.as_dict(), indent=2) + "\n")

    def summary(self) -> str:
        """A few lines for people."""
        reading = self.reading
        model, popularity = reading.quality["model"], reading.quality["popularity"]
        times = f", {model.hit_rate / popularity.hit_rate:.1f} times" if popularity.hit_rate else ""
        versions = ", ".join(str(version) for version in self.meta_versions) or "none"
        return (
            f"{reading.accepted:,} events in {self.seconds:.1f} s "
            f"({self.events_per_second:,.0f}/s); event to recommendation: {latencies(reading)}"
            f"{_settled(self.settled_ms)}\n"
            f"meta versions published: {versions}\n"
            f"hit rate at 10, every event predicted before it was learned "
            f"({reading.ranked:,} of them): model {model.hit_rate:.3f}{times} "
            f"popularity's {popularity.hit_rate:.3f}\n"
            f"mean reciprocal rank: model {model.mrr:.3f}, popularity {popularity.mrr:.3f}"
        )


def progress_line(reading: Reading, total: int, rate: float) -> str:
    """One line of a run that is under way, for where there is no terminal."""
    model, popularity = reading.quality["model"], reading.quality["popularity"]
    return (
        f"{reading.handled:,} of {total:,} events, {rate:,.0f}/s, lag {reading.lag:,.0f}, "
        f"{latencies(reading)}, meta version {reading.meta_version}, "
        f"hit rate at 10: model {model.hit_rate:.3f}, popularity {popularity.hit_rate:.3f}"
    )


def latencies(reading: Reading) -> str:
    """Event to recommendation, in words."""
    half, most = reading.latency_ms(0.50), reading.latency_ms(0.99)
    return "no list yet" if math.isnan(half) else f"p50 {half:.0f} ms, p99 {most:.0f} ms"


def _settled(milliseconds: float) -> str:
    if math.isnan(milliseconds):
        return ""
    return f" ({milliseconds:.0f} ms after the first {SETTLED_AFTER_S:.0f} s)"


def _quality(quality: Quality) -> dict[str, float]:
    return {"hr@10": round(quality.hit_rate, 4), "mrr": round(quality.mrr, 4)}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 1)
