"""Settings of the outer loop, and of what the consumers log for it. Imports no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from metarec_stream.section import Section


class LearnSettings(Section):
    """The outer loop: from logged tasks to meta versions."""

    sample: float = Field(1.0, ge=0.0, le=1.0)
    """Largest share of accepted events that is ranked before it is applied, logged as a task and
    counted in the prequential metrics."""
    sample_per_batch: int = Field(256, ge=0)
    """Most sampled events of a batch: under load the share falls, and is exported."""
    strongest: int = Field(96, ge=1, le=1_024)
    """Candidates of a task that the live version scores highest."""
    random: int = Field(32, ge=1, le=1_024)
    """Candidates of a task that are drawn at random from the rest, with logQ correction."""
    block: int = Field(256, ge=8, le=65_536)
    """Events of an outer step."""
    steps: int = Field(2, ge=1, le=64)
    """Outer steps on a fresh block."""
    replay: float = Field(1.0, ge=0.0, le=16.0)
    """Events replayed from the buffer beside a fresh block, as a multiple of it."""
    buffer: int = Field(20_000, ge=256)
    """Events kept for replay: the newest half and a reservoir of all older ones."""
    table_rate: float = Field(1e-2, gt=0, le=1.0)
    """Step size of the item tables (row-wise Adagrad)."""
    weights_rate: float = Field(5e-4, gt=0, le=1.0)
    """Step size of mixing, start, gain and decays (Adam)."""
    features_rate: float = Field(1e-2, gt=0, le=1.0)
    """Step size of the feature weights (Adam)."""
    l2: float = Field(0.0, ge=0, le=1.0)
    """Weight of the squared norm of the parameters in use."""
    proximal: float = Field(0.0, ge=0, le=1e3)
    """Weight of the squared distance of the small parameters to the parent version's."""
    clip: float = Field(10.0, gt=0)
    """Largest norm of the gradient of the small parameters."""
    publish_every_s: float = Field(5.0, ge=0)
    """Shortest time between two published versions."""
    threads: int = Field(1, ge=1, le=256)
    """Cores that an outer step on the CPU uses; the rest are left to consumers and brokers."""
    keep_versions: int = Field(8, ge=2, le=1_000)
    """Published versions that the meta topic keeps; older ones are forgotten by compaction."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the outer loop runs; `auto`: the GPU if there is one."""


class GateSettings(Section):
    """When a candidate becomes a version."""

    window: int = Field(2_048, ge=64)
    """Newest held-out events on which candidate and live version are compared, each scored by both
    before either learned from it."""
    minimum: int = Field(256, ge=16)
    """Fewest events for a decision."""
    confidence: float = Field(1.0, ge=0.0, le=10.0)
    """Standard errors by which the candidate's mean loss must be below the live version's."""

    @model_validator(mode="after")
    def _decides(self) -> Self:
        if self.minimum > self.window:
            raise ValueError("minimum must be at most window, or nothing is ever published")
        return self
